export { type Answer, type ErrorCode, type ErrorRow, errorTable } from "./errors/error-table.ts";
export * from "./errors/millrace-error.ts";
export * from "./events/ranges.ts";
export type { Event } from "./events/event.ts";
export * from "./events/avro-event.ts";
export { EventBatch, type Origin, type Run } from "./events/event-batch.ts";
export { EventBatchBuilder } from "./events/event-batch-builder.ts";
export { RemainingEvents } from "./events/remaining-events.ts";
export {
  editHeaders,
  fuseEdits,
  type HeaderEdit,
  type HeaderEdits,
} from "./events/header-edits.ts";
export type { Runtime } from "./runtime/runtime.ts";
export * from "./runtime/directory-locks.ts";
export * from "./runtime/clock.ts";
export { settledBy } from "./runtime/deadline.ts";
export { roundsPerTurn, yieldToEventLoop } from "./runtime/yield.ts";
export * from "./runtime/random.ts";
export type * from "./runtime/file-system.ts";
export * from "./runtime/files.ts";
export * from "./files/file-identity.ts";
export * from "./files/find-file.ts";
export * from "./files/line-reader.ts";
export { nodeFileSystem } from "./runtime/node-file-system.ts";
export { resetConnection } from "./runtime/reset-connection.ts";
export { userHome } from "./runtime/user-home.ts";
export { systemRuntime } from "./runtime/system-runtime.ts";
export * from "./runtime/log.ts";
export type { Lifecycle } from "./lifecycle.ts";
export type * from "./channels/channel.ts";
export type * from "./channels/channel-selector.ts";
export {
  type ChannelProcessorOptions,
  createChannelProcessor,
} from "./channels/channel-processor.ts";
export { HeldPut, LentTake } from "./channels/ending-transactions.ts";
export { SequenceSet, type SequenceRange } from "./channels/sequence-set.ts";
export { WaitingLine } from "./channels/waiting-line.ts";
export * from "./sources/source.ts";
export { createSourceRunner, type SourceRunnerOptions } from "./sources/source-runner.ts";
export * from "./sinks/sink.ts";
export type * from "./sinks/sink-selector.ts";
export {
  countDeliveries,
  type DeliveryCounting,
  type SinkHealth,
} from "./sinks/count-deliveries.ts";
export { createSinkRunner, type SinkRunner, type SinkRunnerOptions } from "./sinks/sink-runner.ts";
export * from "./metrics/counters.ts";
export * from "./metrics/common-metrics.ts";
export * from "./metrics/metrics.ts";
export { compileJavaPattern } from "./define/java-pattern.ts";
export { didYouMean, foldName, nearestName } from "./define/nearest-name.ts";
export * from "./define/options.ts";
export * from "./define/parse-options.ts";
export * from "./define/define.ts";
export * from "./properties/parse-properties.ts";
export * from "./audit/index.ts";

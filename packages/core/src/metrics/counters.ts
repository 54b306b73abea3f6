import type { Clock } from "../runtime/clock.ts";

/** Flume's counters, under Flume's names: plain numbers, read only when someone asks. */
export interface SourceCounters {
  EventReceivedCount: number;
  EventAcceptedCount: number;
  AppendReceivedCount: number;
  AppendAcceptedCount: number;
  AppendBatchReceivedCount: number;
  AppendBatchAcceptedCount: number;
  OpenConnectionCount: number;
  EventReadFail: number;
  ChannelWriteFail: number;
  GenericProcessingFail: number;
}

export interface ChannelCounters {
  EventPutAttemptCount: number;
  EventPutSuccessCount: number;
  EventTakeAttemptCount: number;
  EventTakeSuccessCount: number;
}

export interface SinkCounters {
  ConnectionCreatedCount: number;
  ConnectionClosedCount: number;
  ConnectionFailedCount: number;
  BatchEmptyCount: number;
  BatchUnderflowCount: number;
  BatchCompleteCount: number;
  EventDrainAttemptCount: number;
  EventDrainSuccessCount: number;
  EventWriteFail: number;
  ChannelReadFail: number;
}

export function createSourceCounters(): SourceCounters {
  return {
    EventReceivedCount: 0,
    EventAcceptedCount: 0,
    AppendReceivedCount: 0,
    AppendAcceptedCount: 0,
    AppendBatchReceivedCount: 0,
    AppendBatchAcceptedCount: 0,
    OpenConnectionCount: 0,
    EventReadFail: 0,
    ChannelWriteFail: 0,
    GenericProcessingFail: 0,
  };
}

export function createChannelCounters(): ChannelCounters {
  return {
    EventPutAttemptCount: 0,
    EventPutSuccessCount: 0,
    EventTakeAttemptCount: 0,
    EventTakeSuccessCount: 0,
  };
}

export function createSinkCounters(): SinkCounters {
  return {
    ConnectionCreatedCount: 0,
    ConnectionClosedCount: 0,
    ConnectionFailedCount: 0,
    BatchEmptyCount: 0,
    BatchUnderflowCount: 0,
    BatchCompleteCount: 0,
    EventDrainAttemptCount: 0,
    EventDrainSuccessCount: 0,
    EventWriteFail: 0,
    ChannelReadFail: 0,
  };
}

/** What Flume's `/metrics` shows of one component: counters, or values computed when asked. */
export interface CounterGroup {
  readonly kind: "SOURCE" | "CHANNEL" | "SINK";
  readonly name: string;
  readonly type: string;
  startTimeMs: number;
  stopTimeMs: number;
  /** Attribute name to value: the counters above, and gauges such as ChannelSize. */
  read(): Record<string, number | boolean>;
}

/** Marks the group's start or stop, as Flume's StartTime and StopTime show it. */
export function stampCounters(group: CounterGroup, what: "start" | "stop", clock: Clock): void {
  if (what === "start") {
    group.startTimeMs = clock.now();
    group.stopTimeMs = 0;
  } else {
    group.stopTimeMs = clock.now();
  }
}

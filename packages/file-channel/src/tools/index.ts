export { type ChannelStats, channelStats, type SegmentStats } from "./stats.ts";
export {
  dumpChannel,
  type DumpedDamage,
  type DumpedEvent,
  dumpMoves,
  type DumpOptions,
} from "./dump.ts";
export {
  drainChannel,
  type DrainObserver,
  type DrainOptions,
  type DrainReport,
  type Receiver,
} from "./drain.ts";
export { openRepair, type Repair } from "./repair.ts";
export { planRepair, type RepairOptions, type RepairPlan } from "./repair-plan.ts";
export { describeLost } from "./set-aside-writer.ts";
export type { Progress, ToolContext } from "./tool-context.ts";
export { type Finding, type FindingKind, verifyChannel, type VerifyReport } from "./verify.ts";

import { boolean, choice, ignored, integer, list, type OptionsOf, text } from "@millrace/core";

import { encryptionOptions } from "./encryption-options.ts";

const noCheckpoint =
  "There is no checkpoint to write: each log segment begins with a snapshot, and a start reads one segment.";

/** What every channel over the durable log may be told, beside how much it holds and waits. */
export const logOptions = {
  dataDirs: list(
    "dataDirs",
    "Directories for the log, one a disk; they belong to this channel alone. When not set: " +
      "~/.flume/file-channel/data.",
    { separator: "comma" },
  ),
  transactionCapacity: integer(
    "transactionCapacity",
    "Events one transaction holds at most; no more than capacity.",
    { default: 10_000, min: 1 },
  ),
  minimumRequiredSpace: text(
    "minimumRequiredSpace",
    "Free space that puts leave on a disk, in bytes or as a share of its size (20%); at least 1 MiB. " +
      "Takes and acknowledgements go on below it. In Kubernetes the default is too small: the " +
      "kubelet evicts a pod when 10 to 15% of its node's disk are left, whoever filled it, so on a " +
      "disk that is the node's own choose 20%.",
    { default: "524288000", unit: "bytes or %" },
  ),
  segmentBytes: integer("segmentBytes", "Size of one log segment.", {
    default: 67_108_864,
    min: 65_536,
    max: 1_073_741_824,
    unit: "bytes",
  }),
  ackSyncMs: integer(
    "ackSyncMs",
    "How long delivered events may stay unacknowledged on disk when no put comes: a power cut in " +
      "that time delivers them again.",
    { default: 100, min: 1, unit: "ms" },
  ),
  onCorruption: choice(
    "onCorruption",
    ["stop", "quarantine"],
    "At a stored event that does not verify any more: stop ends takes with an error, quarantine " +
      "sets it aside, counts it as lost and goes on.",
    { default: "stop" },
  ),
  fsyncPerTransaction: boolean(
    "fsyncPerTransaction",
    "Whether a put is synced to disk before it is acknowledged. If not, a power cut loses up to " +
      "fsyncInterval seconds of acknowledged events.",
    { default: true },
  ),
  fsyncIntervalSeconds: integer(
    "fsyncInterval",
    "How often the log is synced when fsyncPerTransaction is false.",
    { default: 5, min: 1, unit: "s" },
  ),
  formatVersion: choice(
    "formatVersion",
    ["1", "2"],
    "The newest log format that is written. A segment is written in the lowest format that can hold " +
      "it: only encryption takes format 2. 1 promises that the version before can go on with these " +
      "directories, and refuses encryption. To be able to roll back: upgrade with formatVersion = 1, " +
      "and remove it once no rollback is wanted.",
    { default: "2" },
  ),
  ...encryptionOptions,
  checkpointDir: ignored("checkpointDir", noCheckpoint),
  checkpointInterval: ignored("checkpointInterval", noCheckpoint),
  checkpointOnClose: ignored("checkpointOnClose", noCheckpoint),
  useDualCheckpoints: ignored("useDualCheckpoints", noCheckpoint),
  backupCheckpointDir: ignored("backupCheckpointDir", noCheckpoint),
  compressBackupCheckpoint: ignored("compressBackupCheckpoint", noCheckpoint),
  useLogReplayV1: ignored("use-log-replay-v1", "There is one way to recover, and it is fast."),
  useFastReplay: ignored("use-fast-replay", "There is one way to recover, and it is fast."),
  maxFileSize: ignored("maxFileSize", "Log segments are segmentBytes long, 64 MiB when not set."),
};

export type LogOptions = OptionsOf<typeof logOptions>;

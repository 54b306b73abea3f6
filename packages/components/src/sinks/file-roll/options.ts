import { choice, integer, type OptionsOf, part, text } from "@millrace/core";

export const options = {
  directory: text("sink.directory", "Where the files are written; it must exist.", {
    required: true,
  }),
  rollIntervalSeconds: integer(
    "sink.rollInterval",
    "A file is closed this long after it was opened; 0 writes one file.",
    { default: 30, unit: "s" },
  ),
  batchSize: integer("sink.batchSize", "Events in one transaction at most.", {
    default: 100,
    min: 1,
  }),
  serializer: part("sink.serializer", "serializer", "How events become bytes.", "TEXT"),
  pathManager: choice(
    "sink.pathManager",
    ["DEFAULT", "ROLLTIME"],
    "What file names are made of: the time the sink started, or the time the file was opened.",
    { default: "DEFAULT" },
  ),
  prefix: text("sink.pathManager.prefix", "Stands before each file name.", { default: "" }),
  extension: text(
    "sink.pathManager.extension",
    "Stands behind each file name and a dot, itself without the dot.",
    { default: "" },
  ),
  retentionBytes: integer(
    "sink.retentionBytes",
    "The oldest closed files are removed while all files of these names in the directory hold more; without it none is (not in Flume)",
    { min: 1, unit: "bytes" },
  ),
};

export type Options = OptionsOf<typeof options>;

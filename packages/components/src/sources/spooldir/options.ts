import {
  boolean,
  choice,
  ignored,
  integer,
  type OptionsOf,
  part,
  pattern,
  text,
} from "@millrace/core";

export const options = {
  spoolDir: text("spoolDir", "Directory to read finished files from; must exist", {
    required: true,
  }),
  fileSuffix: text("fileSuffix", "Put behind the name of a finished file; such files are skipped", {
    default: ".COMPLETED",
  }),
  deletePolicy: choice(
    "deletePolicy",
    ["never", "immediate"],
    "Whether a finished file is deleted instead of marked",
    { default: "never" },
  ),
  trackingPolicy: choice(
    "trackingPolicy",
    ["rename", "tracker_dir"],
    "How a finished file is marked: by renaming it, or by an empty file of its name in trackerDir",
    { default: "rename" },
  ),
  trackerDir: text(
    "trackerDir",
    "Directory of the position file and of tracker_dir's marks; relative to spoolDir",
    { default: ".flumespool" },
  ),
  hasFileHeader: boolean("fileHeader", "Whether events carry the file's absolute path", {
    default: false,
  }),
  fileHeaderKey: text("fileHeaderKey", "Header of the absolute path", { default: "file" }),
  hasBasenameHeader: boolean("basenameHeader", "Whether events carry the file's name", {
    default: false,
  }),
  basenameHeaderKey: text("basenameHeaderKey", "Header of the file's name", {
    default: "basename",
  }),
  includePattern: pattern("includePattern", "Names of files to read", { default: "^.*$" }),
  ignorePattern: pattern(
    "ignorePattern",
    "Names of files, and of directories when searching recursively, to leave; wins over includePattern",
    { default: "^$" },
  ),
  consumeOrder: choice(
    "consumeOrder",
    ["oldest", "youngest", "random"],
    "Which file comes next, by modification time and then by name",
    { default: "oldest" },
  ),
  pollDelayMs: integer("pollDelay", "Wait between looks into an empty directory", {
    default: 500,
    min: 1,
    unit: "ms",
  }),
  isRecursive: boolean("recursiveDirectorySearch", "Whether directories inside are read too", {
    default: false,
  }),
  maxBackoffMs: integer("maxBackoff", "Longest wait for a full channel; begins at 250 ms", {
    default: 4000,
    min: 1,
    unit: "ms",
  }),
  batchSize: integer("batchSize", "Events handed to the channels at once", {
    default: 100,
    min: 1,
    unit: "events",
  }),
  inputCharset: text("inputCharset", "Charset of the files", { default: "UTF-8" }),
  decodeErrorPolicy: choice(
    "decodeErrorPolicy",
    ["FAIL", "REPLACE", "IGNORE"],
    "What becomes of bytes that are not text of inputCharset: the file is set aside, U+FFFD, or nothing",
    { default: "FAIL" },
  ),
  deserializer: part("deserializer", "deserializer", "What cuts a file into events", "LINE"),
  bufferMaxLineLength: integer(
    "bufferMaxLineLength",
    "Flume's old name of deserializer.maxLineLength, for LINE only",
    { min: 1 },
  ),
  bufferMaxLines: ignored("bufferMaxLines", "Obsolete in Flume too: batchSize is what counts."),
};

export type SpooldirOptions = OptionsOf<typeof options>;

/** Whether `TextDecoder` reads the charset; deserializers decode by it. */
export function isKnownCharset(name: string): boolean {
  try {
    new TextDecoder(name);
    return true;
  } catch {
    return false;
  }
}

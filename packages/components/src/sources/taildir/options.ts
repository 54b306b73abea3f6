import {
  boolean,
  compileJavaPattern,
  integer,
  list,
  type OptionsOf,
  prefixed,
  text,
} from "@millrace/core";

export const options = {
  groupNames: list("filegroups", "Names of the file groups", { required: true }),
  groupPaths: prefixed(
    "filegroups",
    "Absolute path of a group's files: the directory as it is, which must exist, and behind the last " +
      "slash a regular expression for the whole file name",
  ),
  headers: prefixed("headers", "`<group>.<header>`: a header of every event of the group"),
  positionFile: text("positionFile", "Where positions are kept, in Flume's format", {
    default: "~/.flume/taildir_position.json",
  }),
  hasByteOffsetHeader: boolean(
    "byteOffsetHeader",
    "Whether events carry the offset of their line in the file, as `byteoffset`",
    { default: false },
  ),
  skipToEnd: boolean(
    "skipToEnd",
    "Whether files that are there at start, and not in the position file, are read from their end",
    { default: false },
  ),
  idleTimeoutMs: integer(
    "idleTimeout",
    "A file that has not grown for so long is closed; a last line without line feed is sent then",
    { default: 120_000, min: 1, unit: "ms" },
  ),
  writePosIntervalMs: integer("writePosInterval", "Time between writes of the position file", {
    default: 3000,
    min: 1,
    unit: "ms",
  }),
  batchSize: integer("batchSize", "Events handed to the channels at once", {
    default: 100,
    min: 1,
    unit: "events",
  }),
  maxBatchCount: integer(
    "maxBatchCount",
    "Batches of one file before the next file has its turn; 0 or less: as many as 16 MiB hold",
    { default: 0, min: -1, max: 2 ** 63 },
  ),
  cachePatternMatching: boolean(
    "cachePatternMatching",
    "Whether a directory is listed again only when its modification time has changed",
    { default: true },
  ),
  hasFileHeader: boolean("fileHeader", "Whether events carry the file's absolute path", {
    default: false,
  }),
  fileHeaderKey: text("fileHeaderKey", "Header of the absolute path", { default: "file" }),
  backoffSleepIncrementMs: integer(
    "backoffSleepIncrement",
    "Wait after a round that found nothing, times the number of such rounds in a row",
    { default: 1000, min: 1, unit: "ms" },
  ),
  maxBackoffSleepMs: integer("maxBackoffSleep", "Longest wait between two rounds", {
    default: 5000,
    min: 1,
    unit: "ms",
  }),
  maxLineBytes: integer(
    "maxLineBytes",
    "A longer line is cut into several events (not in Flume, which would hold it whole)",
    { default: 16 * 1024 * 1024, min: 1, max: 512 * 1024 * 1024, unit: "bytes" },
  ),
};

export type TaildirOptions = OptionsOf<typeof options>;

/** Files that are read alike. */
export interface FileGroup {
  readonly name: string;
  readonly directory: string;
  readonly pattern: RegExp;
  readonly headers: ReadonlyMap<string, string>;
}
export interface FileGroups {
  readonly groups: readonly FileGroup[];
  readonly problems: readonly { readonly key: string; readonly message: string }[];
}

/** The groups in the order they are named; as in Flume, one without a path is left out. */
export function parseFileGroups(
  options: Pick<TaildirOptions, "groupNames" | "groupPaths" | "headers">,
): FileGroups {
  const groups: FileGroup[] = [];
  const problems: { key: string; message: string }[] = [];
  for (const name of new Set(options.groupNames)) {
    const path = options.groupPaths.get(name);
    if (path === undefined) continue;
    const key = `filegroups.${name}`;
    const slash = path.lastIndexOf("/");
    if (!path.startsWith("/") || slash === path.length - 1) {
      problems.push({ key, message: `"${path}" is not an absolute path that ends in a file name` });
      continue;
    }
    try {
      const pattern = compileJavaPattern(path.slice(slash + 1));
      const directory = path.slice(0, slash).replace(/\/+/g, "/") || "/";
      groups.push({ name, directory, pattern, headers: headersOf(name, options.headers) });
    } catch (error) {
      problems.push({ key, message: `"${path}": ${(error as Error).message}` });
    }
  }
  if (groups.length === 0 && problems.length === 0) {
    const key = `filegroups.${options.groupNames[0] ?? "<name>"}`;
    problems.push({ key, message: "no file group has a path" });
  }
  return { groups, problems };
}

function headersOf(
  group: string,
  headers: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const prefix = `${group}.`;
  const own = [...headers].filter(([key]) => key.startsWith(prefix));
  return new Map(own.map(([key, value]) => [key.slice(prefix.length), value]));
}

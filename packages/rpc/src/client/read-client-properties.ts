import {
  type FileSystem,
  MillraceError,
  parseProperties,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";

/** Flume's keys with their values, or the path of a properties file. */
export type ClientProperties =
  string | ReadonlyMap<string, string> | Readonly<Record<string, string | number | boolean>>;

/**
 * Keys to trimmed, non-empty values. Of a key that a file repeats the last counts, as in Java.
 * Throws READ_FAILED, or CONFIG_INVALID for a file that is not properties.
 */
export async function readClientProperties(
  properties: ClientProperties,
  files: FileSystem,
): Promise<ReadonlyMap<string, string>> {
  const entries =
    typeof properties === "string"
      ? await readFile(properties, files)
      : properties instanceof Map
        ? properties
        : Object.entries(properties);
  const read = new Map<string, string>();
  for (const [key, value] of entries as Iterable<[string, unknown]>) {
    const text = String(value).trim();
    if (text === "") read.delete(key);
    else read.set(key, text);
  }
  return read;
}

async function readFile(path: string, files: FileSystem): Promise<[string, string][]> {
  let text: string;
  try {
    text = (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    const why =
      systemErrorCode(error) === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new MillraceError("READ_FAILED", `${path}: ${why}`, { cause: error });
  }
  const { lines, problems } = parseProperties(text);
  if (problems.length > 0) {
    const said = problems.map(({ at, message }) => `${path}:${at.line}: ${message}`).join("\n");
    throw new MillraceError("CONFIG_INVALID", said);
  }
  return lines.map(({ key, value }) => [key, value]);
}

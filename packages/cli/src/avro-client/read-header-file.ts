import {
  type FileSystem,
  MillraceError,
  parseProperties,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";

/** The headers of a properties file. Throws READ_FAILED, or CONFIG_INVALID for no properties. */
export async function readHeaderFile(
  files: FileSystem,
  path: string,
): Promise<ReadonlyMap<string, string>> {
  let text: string;
  try {
    text = (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    const missing = systemErrorCode(error) === "ENOENT";
    const why = missing ? "there is no such file" : (error as Error).message;
    throw new MillraceError("READ_FAILED", `--headerFile ${path}: ${why}`, { cause: error });
  }
  const { lines, problems } = parseProperties(text);
  const [problem] = problems;
  if (problem !== undefined) {
    throw new MillraceError("CONFIG_INVALID", `${path}:${problem.at.line}: ${problem.message}`);
  }
  return new Map(lines.map(({ key, value }) => [key, value]));
}

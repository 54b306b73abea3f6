import { type FileSystem, parseProperties, readWholeFile, systemErrorCode } from "@millrace/core";
import type { Problem } from "./problem.ts";

/** One property with where it stands. The value is trimmed, and as written: nothing is replaced yet. */
export interface Property {
  readonly key: string;
  readonly value: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface PropertyFiles {
  /** Of all files together: the later file wins, and in one file the later line. */
  readonly properties: ReadonlyMap<string, Property>;
  readonly problems: readonly Problem[];
  /** The bytes of each file that could be read. */
  readonly contents: readonly Buffer[];
}

const fileBytesMax = 4 * 1024 * 1024;

/**
 * Reads property files in the order given. Files are UTF-8; one that is not valid UTF-8 is read as
 * ISO-8859-1, as Java reads all of them, and noted. What cannot be read is a problem, never thrown.
 */
export async function readPropertyFiles(
  files: FileSystem,
  paths: readonly string[],
): Promise<PropertyFiles> {
  const properties = new Map<string, Property>();
  const problems: Problem[] = [];
  const contents: Buffer[] = [];
  for (const path of paths) {
    const bytes = await readBytes(files, path, problems);
    if (bytes === undefined) continue;
    contents.push(bytes);
    addFile(path, textOf(path, bytes, problems), properties, problems);
  }
  return { properties, problems, contents };
}

async function readBytes(
  files: FileSystem,
  path: string,
  problems: Problem[],
): Promise<Buffer | undefined> {
  if (/\.(json|ya?ml|xml)$/i.test(path)) {
    const message = "only Java properties files are read, not JSON, YAML or XML";
    problems.push(ofFile(path, "error", message));
    return undefined;
  }
  try {
    const { size, isFile } = await files.stat(path);
    if (!isFile) throw new Error("not a file");
    if (size > fileBytesMax) throw new Error(`over ${fileBytesMax} bytes long`);
    return await readWholeFile(files, path);
  } catch (error) {
    problems.push(ofFile(path, "error", `cannot be read: ${readFailure(error)}`));
    return undefined;
  }
}

function textOf(path: string, bytes: Buffer, problems: Problem[]): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    problems.push(ofFile(path, "note", "is not valid UTF-8 and was read as ISO-8859-1"));
    return bytes.toString("latin1");
  }
}

function ofFile(file: string, severity: Problem["severity"], message: string): Problem {
  return { severity, file, line: 0, column: 0, property: "", message };
}

function readFailure(error: unknown): string {
  switch (systemErrorCode(error)) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

function addFile(
  file: string,
  text: string,
  properties: Map<string, Property>,
  problems: Problem[],
): void {
  const parsed = parseProperties(text);
  for (const { at, message } of parsed.problems) {
    problems.push({ severity: "error", file, ...at, property: "", message });
  }
  for (const { key: rawKey, value, keyAt } of parsed.lines) {
    const key = rawKey.trim();
    const before = properties.get(key);
    if (before?.file === file) {
      const { line, column } = before;
      const message = `is given again in line ${keyAt.line}, which wins`;
      problems.push({ severity: "note", file, line, column, property: key, message });
    }
    properties.set(key, { key, value: value.trim(), file, ...keyAt });
  }
}

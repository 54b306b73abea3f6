import {
  type FileSystem,
  readWholeFile,
  replaceFile,
  systemErrorCode,
  writeFully,
} from "@millrace/core";
import { basename, dirname, join, resolve } from "node:path";
import type { Layout } from "./layout.ts";

/** The files a run tails. */
export interface Inputs {
  readonly files: readonly string[];
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** Copies the sample logs into the run's folder, so that the writer may append and nothing of ours changes. */
export async function copySamples(
  files: FileSystem,
  from: string,
  layout: Layout,
): Promise<Inputs> {
  const copied: string[] = [];
  for (const { name } of await files.readDirectory(from)) {
    if (!name.endsWith(".log")) continue;
    const handle = await files.open(join(layout.logs, name), "create");
    try {
      await writeFully(handle, [await readWholeFile(files, join(from, name))], 0);
    } finally {
      await handle.close();
    }
    copied.push(join(layout.logs, name));
  }
  return { files: [...copied.sort(), layout.writerLog], skipped: [] };
}

const sniffedBytes = 8192;

/** The text files that the paths name, and those directly in the folders that they name. */
export async function findInputs(files: FileSystem, paths: readonly string[]): Promise<Inputs> {
  const found: string[] = [];
  const skipped: { path: string; reason: string }[] = [];
  const consider = async (path: string): Promise<void> => {
    const reason = await whyNot(files, path);
    if (reason === undefined) found.push(path);
    else skipped.push({ path, reason });
  };
  for (const path of new Set(paths.map((path) => resolve(path)))) {
    try {
      if (!(await files.stat(path)).isDirectory) await consider(path);
      else {
        const entries = await files.readDirectory(path);
        for (const name of entries.map((entry) => entry.name).sort()) {
          if (entries.some((entry) => entry.name === name && entry.isFile)) {
            await consider(join(path, name));
          }
        }
      }
    } catch (error) {
      skipped.push({ path, reason: readFailure(error) });
    }
  }
  return { files: [...new Set(found)].sort(), skipped };
}

async function whyNot(files: FileSystem, path: string): Promise<string | undefined> {
  if (basename(path).startsWith(".")) return "hidden";
  try {
    const handle = await files.open(path, "read");
    try {
      const { isFile } = await handle.stat();
      if (!isFile) return "not a file";
      const bytes = Buffer.alloc(sniffedBytes);
      const count = await handle.read(bytes, 0, sniffedBytes, 0);
      return bytes.subarray(0, count).includes(0) ? "not text" : undefined;
    } finally {
      await handle.close();
    }
  } catch (error) {
    return readFailure(error);
  }
}

function readFailure(error: unknown): string {
  switch (systemErrorCode(error)) {
    case "ENOENT":
      return "does not exist";
    case "EACCES":
    case "EPERM":
      return "this user may not read it";
    default:
      return (error as Error).message;
  }
}

/** Properties that make the edge tail exactly these files; given to it behind `edge.conf`. */
export function inputsConfig(paths: readonly string[]): string {
  const byFolder = new Map<string, string[]>();
  for (const path of paths) {
    const names = byFolder.get(dirname(path)) ?? [];
    byFolder.set(dirname(path), [...names, basename(path)]);
  }
  const groups = [...byFolder].map(([folder, names], index) => ({
    name: `group${index + 1}`,
    pattern: `${join(folder, "/")}(?:${names.map(escapeRegex).join("|")})`,
  }));
  const prefix = "edge.sources.logs.filegroups";
  return [
    "# Written by the quickstart: the files named on its command line.",
    `${prefix} = ${groups.map(({ name }) => name).join(" ")}`,
    ...groups.map(({ name, pattern }) => `${prefix}.${name} = ${escapeProperty(pattern)}`),
    "",
  ].join("\n");
}

export async function writeInputsConfig(
  files: FileSystem,
  layout: Layout,
  paths: readonly string[],
): Promise<void> {
  await replaceFile(files, layout.inputsConfig, Buffer.from(inputsConfig(paths)));
}

const escapeRegex = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** As a value in a properties file: backslashes doubled, and no `${` that would be replaced. */
const escapeProperty = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll("${", () => "$${");

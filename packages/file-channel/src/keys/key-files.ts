import {
  type FileSystem,
  fileExists,
  type Log,
  MillraceError,
  readWholeFile,
  systemErrorCode,
} from "@millrace/core";
import { join } from "node:path";
import type { KeyProvider } from "./key-provider.ts";

export interface KeyFilesOptions {
  /** A directory with one file a key, named as the key is: what a mounted secret looks like. */
  readonly directory?: string | undefined;
  /** Key names and the files that hold them; these come before the directory. */
  readonly paths?: ReadonlyMap<string, string>;
}

const keyBytes = 32;
const fileBytesMax = 4096;

/**
 * Keys from files of 32 random bytes: as they are, as 64 hexadecimal digits, or as 44 characters of
 * base64; a line end behind the text is fine. A file that every user may read is used with a
 * warning: a mounted Kubernetes secret looks so unless its `defaultMode` is 0400.
 */
export function createKeyFiles(options: KeyFilesOptions, files: FileSystem, log: Log): KeyProvider {
  return {
    async key(alias) {
      const path = pathOf(alias, options);
      if (path === undefined || !(await fileExists(files, path))) throw missing(alias, path);
      const { mode, size } = await files.stat(path);
      if (mode !== undefined && (mode & 0o007) !== 0) {
        log.warn(`every user of this machine may use the key file ${path}; make it mode 0400`);
      }
      const key = size > fileBytesMax ? undefined : parseKey(await readKeyFile(files, path));
      if (key !== undefined) return key;
      throw new MillraceError(
        "KEY_INVALID",
        `${path} does not hold the key "${alias}": a key file has ${keyBytes} bytes, or 64 hexadecimal digits, or 44 characters of base64 (\`openssl rand -hex 32\`)`,
        { context: { alias, path } },
      );
    },
  };
}

/** The 32 bytes a key file holds; undefined when it holds something else. */
export function parseKey(content: Buffer): Buffer | undefined {
  if (content.length === keyBytes) return content;
  const text = content.toString("latin1").trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, "base64");
  return undefined;
}

function pathOf(alias: string, { directory, paths }: KeyFilesOptions): string | undefined {
  const path = paths?.get(alias);
  if (path !== undefined) return path;
  const isName = alias !== "." && alias !== ".." && !/[/\\\0]/.test(alias);
  return directory !== undefined && isName ? join(directory, alias) : undefined;
}

async function readKeyFile(files: FileSystem, path: string): Promise<Buffer> {
  try {
    return await readWholeFile(files, path);
  } catch (error) {
    const denied = ["EACCES", "EPERM"].includes(systemErrorCode(error));
    throw new MillraceError(
      denied ? "PERMISSION_DENIED" : "READ_FAILED",
      `the key file ${path} cannot be read: ${String(error)}`,
      { cause: error },
    );
  }
}

function missing(alias: string, path: string | undefined): MillraceError {
  const where =
    path === undefined
      ? "neither encryption.keyProvider.keyDir nor a property of that key names a file for it"
      : `${path} does not exist`;
  return new MillraceError("KEY_MISSING", `the key "${alias}" is not there: ${where}`, {
    context: { alias, path },
  });
}

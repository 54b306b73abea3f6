import {
  type FileSystem,
  fileExists,
  MillraceError,
  readWholeFile,
  replaceFile,
} from "@millrace/core";
import type { Host } from "./host-list.ts";

/**
 * The file that keeps what an address was last found to stand for:
 *
 *     {"version":1,"address":"dns://collectors:4141","hosts":[{"host":"10.0.0.7","port":4141}]}
 *
 * It is only believed for the same address, letter by letter.
 */
interface HostsCache {
  readonly version: 1;
  readonly address: string;
  readonly hosts: readonly Host[];
}

const bytesMax = 1024 * 1024;

/** No hosts when there is no file, or it is of another address. Throws READ_FAILED for others. */
export async function readHostsCache(
  files: FileSystem,
  path: string,
  address: string,
): Promise<readonly Host[]> {
  if (!(await fileExists(files, path))) return [];
  if ((await files.stat(path)).size > bytesMax) throw notACache(path);
  let cache: unknown;
  try {
    cache = JSON.parse((await readWholeFile(files, path)).toString("utf8"));
  } catch (error) {
    throw error instanceof SyntaxError ? notACache(path) : error;
  }
  if (!isCache(cache)) throw notACache(path);
  return cache.address === address ? cache.hosts : [];
}

/** Replaces the file; a crash leaves the old content or the new. */
export async function writeHostsCache(
  files: FileSystem,
  path: string,
  address: string,
  hosts: readonly Host[],
): Promise<void> {
  const cache: HostsCache = { version: 1, address, hosts };
  await replaceFile(files, path, Buffer.from(`${JSON.stringify(cache)}\n`));
}

function notACache(path: string): MillraceError {
  return new MillraceError(
    "READ_FAILED",
    `${path} holds no hosts in the form that is written here`,
  );
}

function isCache(value: unknown): value is HostsCache {
  if (typeof value !== "object" || value === null) return false;
  const { version, address, hosts } = value as Record<string, unknown>;
  return (
    version === 1 && typeof address === "string" && Array.isArray(hosts) && hosts.every(isHost)
  );
}

function isHost(value: unknown): value is Host {
  if (typeof value !== "object" || value === null) return false;
  const { host, port, priority, weight, serverName } = value as Record<string, unknown>;
  const isCount = (n: unknown): boolean =>
    n === undefined || (Number.isInteger(n) && Number(n) >= 0);
  return (
    typeof host === "string" &&
    host !== "" &&
    Number.isInteger(port) &&
    Number(port) >= 1 &&
    Number(port) <= 65_535 &&
    isCount(priority) &&
    isCount(weight) &&
    (serverName === undefined || typeof serverName === "string")
  );
}

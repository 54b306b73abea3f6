import { type Clock, type FileSystem, pathIn, systemErrorCode } from "@millrace/core";
import type { ContainerId } from "./log-file.ts";

export interface FoundContainer {
  readonly id: ContainerId;
  /** `<namespace>_<pod>_<uid>/<container>` */
  readonly key: string;
}

interface Directory {
  names: readonly string[];
  cachedModifiedMs: number | undefined;
}

const settledMs = 2000;

/** `<namespace>_<pod>_<uid>/<container>`; no part has an underscore but the container's directory. */
export function parseKey(key: string): ContainerId | undefined {
  const [namespace, pod, rest, ...others] = key.split("_");
  const [uid, container, ...deeper] = rest?.split("/") ?? [];
  if (others.length > 0 || deeper.length > 0) return undefined;
  if (!namespace || !pod || !uid || !container) return undefined;
  return { namespace, pod, uid, container };
}

/** Finds the directories of all containers, listing again only what has changed. */
export class PodFinder {
  readonly #clock: Clock;
  readonly #files: FileSystem;
  readonly #root: string;
  #directories = new Map<string, Directory>();

  constructor(clock: Clock, files: FileSystem, root: string) {
    this.#clock = clock;
    this.#files = files;
    this.#root = root;
  }

  /** Throws the system's error when the root cannot be listed. */
  async find(): Promise<FoundContainer[]> {
    const found: FoundContainer[] = [];
    const before = this.#directories;
    this.#directories = new Map();
    for (const pod of await this.#names(this.#root, before)) {
      for (const container of await this.#namesIfThere(pathIn(this.#root, pod), before)) {
        const key = `${pod}/${container}`;
        const id = parseKey(key);
        if (id !== undefined) found.push({ id, key });
      }
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async #namesIfThere(path: string, before: ReadonlyMap<string, Directory>) {
    try {
      return await this.#names(path, before);
    } catch (error) {
      // What cannot be listed now is looked at again; its containers are still followed meanwhile.
      if (systemErrorCode(error) === "ENOENT") return [];
      return before.get(path)?.names ?? [];
    }
  }

  async #names(path: string, before: ReadonlyMap<string, Directory>): Promise<readonly string[]> {
    const known = before.get(path);
    const { modifiedMs } = await this.#files.stat(path);
    if (known !== undefined && known.cachedModifiedMs === modifiedMs) {
      this.#directories.set(path, known);
      return known.names;
    }
    const listedAtMs = this.#clock.now();
    const entries = await this.#files.readDirectory(path);
    const names = entries.filter(({ isFile }) => !isFile).map(({ name }) => name);
    const cachedModifiedMs = listedAtMs - modifiedMs > settledMs ? modifiedMs : undefined;
    this.#directories.set(path, { names, cachedModifiedMs });
    return names;
  }
}

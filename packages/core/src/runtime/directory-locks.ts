import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat, unlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { hostname } from "node:os";

/** Keeps two processes out of one directory. */
export interface DirectoryLocks {
  /** Takes the directory; undefined when someone holds it. It is free again when its holder dies. */
  acquire(directory: string): Promise<DirectoryLock | undefined>;
  /** Whether someone holds the directory now. Only looks; writes nothing there. */
  isHeld?(directory: string): Promise<boolean>;
  /** Who holds the directory, as it says itself: "process 7 on edge-x"; undefined when nobody says. */
  holder?(directory: string): Promise<string | undefined>;
}

export interface DirectoryLock {
  release(): Promise<void>;
}

const namePattern = /^in_use\.[0-9a-f]+\.sock$/;
const heldBy = "held by ";
const answerWaitMs = 1000;
const attempts = 40;

/**
 * A lock is a Unix socket that listens in the directory as `in_use.<random>.sock`: it works across
 * containers and network namespaces on one machine, and a killed holder leaves only a name that
 * refuses connections. No name is ever used twice, so there is nothing to take over and no window
 * in which one contender removes another's:
 *
 *   1. listen under a name of one's own;
 *   2. connect to every other name: one that answers "held by ..." has the lock; one that answers "trying"
 *      makes both step back and try again; one that refuses is stale and is removed;
 *   3. the lock is taken when nobody answered and one's own name is still there.
 *
 * Of two contenders the one that looks last sees the other, because each listens before it looks.
 * A name is removed only by a process that listens all the while: its owner, if it was merely slow
 * to listen, then sees that process or misses its own name, and tries again.
 */
export const socketLocks: DirectoryLocks = {
  async acquire(directory) {
    const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (let attempt = 0; attempt < attempts; attempt++) {
        const outcome = await contend(socketRoot(directory, handle));
        if (outcome === "held") break;
        if (outcome !== "again") return heldLock(outcome, handle);
        await new Promise((resolve) => setTimeout(resolve, 2 + Math.random() * 20 * (attempt + 1)));
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  },
  isHeld: async (directory) => (await findHolder(directory)) !== undefined,
  holder: async (directory) => (await findHolder(directory))?.by || undefined,
};

/** Only looks. */
async function findHolder(directory: string): Promise<Heard | undefined> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const root = socketRoot(directory, handle);
    for (const name of await readdir(root)) {
      if (!namePattern.test(name)) continue;
      const heard = await ask(`${root}/${name}`);
      if (heard.is === "held") return heard;
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

interface Heard {
  readonly is: "held" | "trying" | "refused" | "gone";
  /** Who holds it; empty when it does not say. */
  readonly by: string;
}

/** A socket's path may have about 107 bytes; on Linux an open directory has a short one. */
function socketRoot(directory: string, handle: FileHandle): string {
  return process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : directory;
}

function heldLock(server: Server, handle: FileHandle): DirectoryLock {
  let released: Promise<void> | undefined;
  return {
    release() {
      released ??= new Promise<void>((resolve) => server.close(() => resolve())).then(() =>
        handle.close(),
      );
      return released;
    },
  };
}

async function contend(root: string): Promise<Server | "held" | "again"> {
  const own = `in_use.${randomBytes(8).toString("hex")}.sock`;
  let answer = "trying";
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end(answer);
  });
  server.unref();
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  await listen(server, `${root}/${own}`);
  try {
    const outcome = await askOthers(root, own);
    if (outcome === "taken") {
      answer = `${heldBy}process ${process.pid} on ${hostname()}`;
      if (await exists(`${root}/${own}`)) return server;
    }
    await close();
    return outcome === "held" ? "held" : "again";
  } catch (error) {
    await close();
    throw error;
  }
}

/** What those say who have another name in the directory; names that are stale are removed. */
async function askOthers(root: string, own: string): Promise<"taken" | "held" | "again"> {
  let outcome: "taken" | "held" | "again" = "taken";
  for (const name of await readdir(root)) {
    if (!namePattern.test(name) || name === own) continue;
    const { is: heard } = await ask(`${root}/${name}`);
    if (heard === "held") outcome = "held";
    else if (heard === "trying" && outcome === "taken") outcome = "again";
    else if (heard === "refused") await remove(`${root}/${name}`);
  }
  return outcome;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path, readableAll: true, writableAll: true }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

/** Whoever accepts but says nothing is a holder too busy to answer. */
function ask(path: string): Promise<Heard> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect(path);
    const timer = setTimeout(() => socket.destroy(), answerWaitMs);
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") resolve({ is: "refused", by: "" });
      if (error.code === "ENOENT") resolve({ is: "gone", by: "" });
    });
    socket.on("close", () => {
      clearTimeout(timer);
      if (heard === "trying") resolve({ is: "trying", by: "" });
      else resolve({ is: "held", by: heard.startsWith(heldBy) ? heard.slice(heldBy.length) : "" });
    });
  });
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

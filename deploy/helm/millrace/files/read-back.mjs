// Run by `helm test` in a pod of its own: writes lines to standard output, as any container does, and waits until
// one of them has come out at a collector. Needs nothing but Node.
import { lookup } from "node:dns/promises";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const { OUT_DIR, COLLECTORS = "", METRICS_PORT = "41414", TIMEOUT_SECONDS = "180" } = process.env;
const run = `millrace-helm-test-${process.env.POD_UID ?? process.pid}`;
const began = performance.now();
const seconds = () => (performance.now() - began) / 1000;
let written = 0;
let trouble = "";

const arrived = OUT_DIR ? await watchFiles(OUT_DIR) : await watchCounters();
for (;;) {
  // A few at a time, for as long as it takes: batches go to the collectors in turns.
  for (let count = 0; count < 10; count++) console.log(`${run} line ${++written}`);
  const news = await arrived();
  if (news !== undefined) {
    console.error(`arrived after ${seconds().toFixed(1)} s: ${news}`);
    process.exit(0);
  }
  if (seconds() > Number(TIMEOUT_SECONDS)) {
    console.error(`of ${written} lines that this pod wrote none has arrived within ${TIMEOUT_SECONDS} s${trouble}`);
    process.exit(1);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

// Finds a line of this run in what is added to the collector's output.
async function watchFiles(folder) {
  const seen = new Map();
  for (const path of await filesOf(folder)) seen.set(path, (await stat(path)).size);
  return async () => {
    for (const path of await filesOf(folder)) {
      const handle = await open(path).catch(() => undefined);
      if (handle === undefined) continue;
      try {
        const { size } = await handle.stat();
        // Again from a little before: the last look may have ended within a line.
        let at = Math.max(0, (seen.get(path) ?? 0) - 200);
        while (at < size) {
          const { buffer, bytesRead } = await handle.read(Buffer.alloc(1 << 20), 0, 1 << 20, at);
          if (bytesRead === 0) break;
          if (buffer.subarray(0, bytesRead).includes(run)) return `a line of this pod is in ${path}`;
          at += bytesRead < 1 << 20 ? bytesRead : bytesRead - 200;
        }
        seen.set(path, at);
      } finally {
        await handle.close();
      }
    }
    return undefined;
  };
}

async function filesOf(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

// Waits until the collectors have delivered as many more events as this pod has written lines since it could ask them
// first. One that starts, ends or moves meanwhile is asked again.
async function watchCounters() {
  let first;
  const ask = async () => {
    try {
      const sum = await delivered();
      trouble = "";
      first ??= { sum, written };
      const [more, lines] = [sum - first.sum, written - first.written];
      return lines > 0 && more >= lines ? `the collectors delivered ${more} more events` : undefined;
    } catch (error) {
      trouble = `; the collectors at ${COLLECTORS} could not be asked: ${error.cause?.message ?? error.message}`;
      return undefined;
    }
  };
  await ask();
  return ask;
}

async function delivered() {
  let sum = 0;
  for (const { address, family } of await lookup(COLLECTORS, { all: true })) {
    const host = family === 6 ? `[${address}]` : address;
    const url = `http://${host}:${METRICS_PORT}/metrics`;
    const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
    for (const [, value] of text.matchAll(/^millrace_sink_delivered_events_total\{.*\} (\S+)$/gm)) {
      sum += Number(value);
    }
  }
  return sum;
}

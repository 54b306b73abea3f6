import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sampleBatch } from "./frame.ts";

/** A bare write + fdatasync loop over a growing file, one batch at a time: events a second. */
export async function measureBareSync(batch: number, measureMs: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const file = await open(join(directory, "log"), "w");
  const bytes = Buffer.concat(sampleBatch(batch).gather());
  try {
    const began = performance.now();
    let events = 0;
    let at = 0;
    while (performance.now() - began < measureMs) {
      await file.write(bytes, 0, bytes.length, at);
      await file.datasync();
      at = at + bytes.length > 256 * 1024 * 1024 ? 0 : at + bytes.length;
      events += batch;
    }
    return events / ((performance.now() - began) / 1000);
  } finally {
    await file.close();
    await rm(directory, { recursive: true, force: true });
  }
}

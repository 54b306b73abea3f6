import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A directory of the test's own, removed when the test ends. */
export async function tempDirectory(test: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "millrace-"));
  test.after(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}

/** What the tests of the pod directory share: a cluster, and a directory that waits for less. */
import { type Log, systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createTestCluster,
  type TestCluster,
  waitFor,
} from "@millrace/testing";
import type { TestContext } from "node:test";
import { acquirePodDirectory, type PodDirectory, podDirectoryLimits } from "./pod-directory.ts";
import type { PodDirectorySettings } from "./pod-settings.ts";

export const limits = {
  ...podDirectoryLimits,
  api: { ...podDirectoryLimits.api, pagePods: 2, podsMax: 100 },
  pauses: { firstMs: 10, maxMs: 50, livedMs: 10_000 },
  currentWaitMs: 100,
};

/** For tests of silence only: a busy machine may be silent for a while, too. */
export const impatient = { answerMs: 300, watchQuietMs: 400 };

export interface Given {
  readonly cluster: TestCluster;
  readonly server: TestCluster["server"];
  readonly settings: PodDirectorySettings;
  readonly log: ReturnType<typeof createCollectingLog>;
  readonly restarts: { value: number };
  acquire(overrides?: Partial<PodDirectorySettings>, log?: Log): PodDirectory;
}

export async function given(t: TestContext, api: Partial<typeof impatient> = {}): Promise<Given> {
  const cluster = await createTestCluster(t);
  const { server, tokenFile, caFile } = cluster;
  const log = createCollectingLog();
  const restarts = { value: 0 };
  const settings = { apiServer: server.url, tokenFile, caFile, nodeName: "n1", waitMs: 2000 };
  return {
    cluster,
    server,
    settings,
    log,
    restarts,
    acquire(overrides = {}, saidTo = log) {
      const asked = { ...settings, ...overrides };
      const directory = acquirePodDirectory(asked, systemRuntime, saidTo, restarts, {
        ...limits,
        api: { ...limits.api, ...api },
      });
      t.after(() => directory.release());
      return directory;
    },
  };
}

export const said = ({ log }: Given, text: RegExp): boolean =>
  log.lines.some(({ message }) => text.test(message));

export async function following(directory: PodDirectory, { server }: Given): Promise<void> {
  await waitFor("the watch", () => directory.current && server.watching === 1);
}

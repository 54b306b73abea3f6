import {
  type FileSystem,
  MillraceError,
  type PollableSource,
  type SourceContext,
  systemRuntime,
} from "@millrace/core";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { sourceContext } from "../component-context.ts";
import { tempDirectory } from "../temp-directory.ts";
import { createFakeKubelet, type FakeKubeletOptions } from "./fake-kubelet.ts";

export interface FollowedNode {
  /** Makes the source under test; again after each stop. */
  readonly create: (
    properties: Record<string, string>,
    context: SourceContext,
  ) => Promise<PollableSource>;
  readonly properties?: Record<string, string>;
  readonly kubelet?: Omit<FakeKubeletOptions, "directory">;
}

interface SeenEvent {
  readonly body: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** A fake kubelet and a started source over it, on a clock and with files that the test has in hand. */
export async function followFakeNode(test: TestContext, given: FollowedNode) {
  const folder = await tempDirectory(test);
  const kubelet = createFakeKubelet({ directory: join(folder, "log"), ...given.kubelet });
  const events: SeenEvent[] = [];
  let elapsedMs = 0;
  let isFull = false;
  let openFails: (path: string) => string | undefined = () => undefined;
  const clock = {
    now: systemRuntime.clock.now,
    monotonic: () => elapsedMs,
    setTimer(ms: number, fire: () => void) {
      const timer = setImmediate(() => {
        elapsedMs += ms;
        fire();
      });
      return { cancel: () => clearImmediate(timer) };
    },
  };
  const files: FileSystem = {
    ...systemRuntime.files,
    async open(path, mode) {
      const code = openFails(path);
      if (code !== undefined) throw Object.assign(new Error(`${code}: open '${path}'`), { code });
      return systemRuntime.files.open(path, mode);
    },
  };
  const context = sourceContext({
    runtime: { ...systemRuntime, clock, files },
    channelProcessor: {
      async processEventBatch(batch) {
        if (isFull) throw new MillraceError("CHANNEL_FULL", "full");
        for (const { body, headers } of batch) events.push({ body: body.toString(), headers });
      },
    },
  });
  const never = new AbortController().signal;
  let source: PollableSource | undefined;
  const start = async (more: Record<string, string> = {}): Promise<void> => {
    const made = await given.create(
      {
        path: kubelet.podsDirectory,
        positionFile: join(folder, "positions.json"),
        holdDirectory: join(folder, "hold"),
        podAnnotations: "false",
        ...given.properties,
        ...more,
      },
      context,
    );
    source = made;
    await made.start(never);
  };
  const poll = async (): Promise<"ready" | "backoff"> => (await source?.poll(never)) ?? "backoff";
  test.after(() => source?.stop(never));
  await start();
  return {
    folder,
    kubelet,
    context,
    events,
    start,
    poll,
    stop: async () => source?.stop(never),
    /** Whether the channel takes nothing. */
    fill(full: boolean): void {
      isFull = full;
    },
    /** Which paths cannot be opened now: the system's error code for those. */
    failOpens(fails: (path: string) => string | undefined): void {
      openFails = fails;
    },
    pass(ms: number): void {
      elapsedMs += ms;
    },
    /** Reads until nothing comes any more. */
    async drain(): Promise<void> {
      for (let quiet = 0; quiet < 3;) quiet = (await poll()) === "backoff" ? quiet + 1 : 0;
    },
    /** What came since the last call. */
    bodies: (): string[] => events.splice(0).map(({ body }) => body),
    value: (name: string): number | undefined => context.metrics.value(name),
  };
}

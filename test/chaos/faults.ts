import { type TcpProxy, waitFor } from "@millrace/testing";
import type { Chain } from "./chain.ts";

/** What is done to the chain while lines flow. Each leaves it whole, and lines flowing, again. */
export interface Fault {
  readonly name: string;
  run(chain: Chain): Promise<void>;
}

/** Enough to know that lines flow again, little enough to be soon there. */
const linesBetween = 400;
const restartWithinMs = 60_000;

export const faults: readonly Fault[] = [
  {
    name: "kill the active collector",
    async run(chain) {
      const { agent } = await chain.active();
      await agent.kill("SIGKILL");
      chain.oracle.fault("SIGKILL of a collector");
      await chain.progress(linesBetween);
      await agent.start(restartWithinMs);
    },
  },
  {
    name: "kill the edge",
    async run(chain) {
      await chain.edge.kill("SIGKILL");
      chain.oracle.fault("SIGKILL of the edge");
      await chain.edge.start(restartWithinMs);
    },
  },
  {
    name: "cut the active link three times",
    async run(chain) {
      for (let i = 0; i < 3; i++) {
        const { cable } = await chain.active();
        if (cable.cut() > 0) chain.oracle.fault("cut link");
        await chain.progress(linesBetween);
      }
    },
  },
  {
    name: "stall the active link",
    async run(chain) {
      const { cable } = await chain.active();
      await cable.setMode("stall");
      chain.oracle.fault("stalled link");
      await deliversElsewhere(chain, cable);
      await chain.progress(linesBetween);
      await cable.setMode("pass");
    },
  },
  {
    name: "stall the active link and kill the edge before it",
    async run(chain) {
      const { cable } = await chain.active();
      await cable.setMode("stall");
      chain.oracle.fault("stalled link");
      await chain.edge.kill("SIGKILL");
      chain.oracle.fault("SIGKILL of the edge");
      await chain.edge.start(restartWithinMs);
      await chain.progress(linesBetween);
      await cable.setMode("pass");
    },
  },
  {
    name: "end one direction of the active link, then the other",
    async run(chain) {
      for (const side of ["server", "client"] as const) {
        const { cable } = await chain.active();
        cable.halfClose(side);
        chain.oracle.fault("half-closed link");
        await chain.progress(linesBetween);
      }
    },
  },
  {
    name: "swallow the active collector's replies",
    async run(chain) {
      const { cable } = await chain.active();
      const before = cable.counters.bytesSwallowed;
      await cable.setMode("swallow-replies");
      await waitFor("a swallowed reply", () => cable.counters.bytesSwallowed > before, 30_000);
      chain.oracle.fault("swallowed reply");
      await chain.progress(linesBetween);
      await cable.setMode("pass");
    },
  },
  {
    name: "kill the edge and the active collector together",
    async run(chain) {
      const { agent } = await chain.active();
      await Promise.all([chain.edge.kill("SIGKILL"), agent.kill("SIGKILL")]);
      chain.oracle.fault("SIGKILL of a collector");
      chain.oracle.fault("SIGKILL of the edge");
      await Promise.all([chain.edge.start(restartWithinMs), agent.start(restartWithinMs)]);
    },
  },
  {
    name: "kill both collectors, so that the edge must wait",
    async run(chain) {
      for (const { agent } of chain.collectors) {
        await agent.kill("SIGKILL");
        chain.oracle.fault("SIGKILL of a collector");
      }
      const goal = chain.writer.written + linesBetween;
      await waitFor("lines written meanwhile", () => chain.writer.written >= goal, 30_000);
      for (const { agent } of chain.collectors) await agent.start(restartWithinMs);
    },
  },
  {
    name: "refuse new connections to the active collector and cut the old",
    async run(chain) {
      const { cable } = await chain.active();
      await cable.setMode("refuse");
      cable.cut();
      chain.oracle.fault("refused connection");
      await chain.progress(linesBetween);
      await cable.setMode("pass");
    },
  },
];

/** Waits until the edge has given a link up and uses another. */
async function deliversElsewhere(chain: Chain, abandoned: TcpProxy): Promise<void> {
  await waitFor(
    "the edge to deliver by another link",
    async () => (await chain.active()).cable !== abandoned,
    30_000,
  );
}

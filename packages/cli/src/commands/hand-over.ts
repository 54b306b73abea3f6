import { systemRuntime, userHome } from "@millrace/core";
import { networkInterfaces } from "node:os";
import { handOver } from "../hand-over/hand-over.ts";
import { planHandOver } from "../hand-over/plan.ts";
import { readHandOverSettings } from "../hand-over/settings.ts";
import type { CreateCompanion } from "./companions.ts";

/** With `-Dmillrace.handOver`: an agent that ends gives what is left to its siblings. */
export const handOverCompanion: CreateCompanion = ({ agent, name, defines, log }) => {
  const own = log.of(name);
  const { settings, problem } = readHandOverSettings(defines);
  if (problem !== undefined) own.error(`${problem}; nothing will be handed over`);
  if (settings === undefined) return {};
  let hasRun = false;
  let hasFailed = false;
  void agent.failed.then(() => (hasFailed = true));
  return {
    stopping() {
      // One that never ran holds no channel: its predecessor may.
      hasRun = agent.state === "running";
    },
    async end() {
      if (!hasRun || hasFailed) return;
      const home = defines.get("user.home") ?? userHome();
      const plan = planHandOver(agent.configuration, { runtime: systemRuntime, home });
      const around = { runtime: systemRuntime, log: own, systemProperties: defines };
      await handOver(plan, settings, { ...around, addresses: ownAddresses() });
    },
  };
};

function ownAddresses(): string[] {
  const here = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const told = process.env["POD_IP"];
  return [...here.map(({ address }) => address), ...(told === undefined ? [] : [told])];
}

/** Run before the suite: building may take longer than a test may. Skipping is no failure here. */
import { buildConsul, installedConsul, mustRun } from "./consul-binary.ts";

const there = installedConsul();
if (there === undefined) {
  const reason = await buildConsul();
  if (reason !== undefined) {
    console.log(`not tested against a real Consul: ${reason}`);
    if (mustRun()) process.exitCode = 1;
  }
} else console.log(`testing against ${there}`);

/** Run before the suite: building may take longer than a test may. Skipping is no failure here. */
import { buildConsul, consulVersion, installedConsul, mustRun } from "./consul-binary.ts";

const there = installedConsul();
if (there === undefined) {
  console.log(`building Consul ${consulVersion} from its Go module: this takes minutes, once`);
  const reason = await buildConsul();
  if (reason !== undefined) {
    console.log(`not tested against a real Consul: ${reason}`);
    if (mustRun()) process.exitCode = 1;
  }
} else console.log(`testing against ${there}`);

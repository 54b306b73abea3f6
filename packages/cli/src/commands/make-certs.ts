import { systemRuntime } from "@millrace/core";
import { findCluster } from "../certificates/cluster.ts";
import { createDirectoryPlace } from "../certificates/directory-place.ts";
import { renewCertificates } from "../certificates/renew.ts";
import { createSecretPlace } from "../certificates/secret-place.ts";
import { makeCertsUsage, parseMakeCertsWords } from "../certificates/words.ts";
import { exitCode } from "../exit-code.ts";
import type { Command } from "../program.ts";

/** Makes the certificates of a fleet, or renews them; says what it did in one line. */
export const makeCertsCommand: Command = async (words, program, output) => {
  const asked = parseMakeCertsWords(words.options);
  if (asked === "help") {
    output.out(makeCertsUsage);
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} make-certs: ${asked.problem}\n\n${makeCertsUsage}`);
    return exitCode.usage;
  }
  const { names, days, place } = asked;
  const { files, clock } = systemRuntime;
  // Private keys are for their owner only.
  process.umask(0o077);
  try {
    const where =
      place.kind === "directory"
        ? createDirectoryPlace(place.path, files)
        : createSecretPlace(
            await findCluster(process.env, files, place.account),
            place.namespace,
            place.name,
          );
    output.out(await renewCertificates(where, { names, days, nowMs: clock.now() }));
    return exitCode.ok;
  } catch (error) {
    output.err(`${program} make-certs: ${(error as Error).message}`);
    return exitCode.start;
  }
};

import { createRequire } from "node:module";
import { exitCode } from "../exit-code.ts";
import type { Command } from "../program.ts";

/** Loads nothing but this package's own manifest. */
export const versionCommand: Command = (_words, _program, { out }) => {
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  out(`Millrace ${version}`);
  out(`Node.js ${process.versions.node}, ${process.platform} ${process.arch}`);
  return Promise.resolve(exitCode.ok);
};

/** The program behind `npm start`. */
import { systemRuntime } from "@millrace/core";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { parseQuickstartArguments, usage } from "./arguments.ts";
import { type Command, listenToKeys } from "./keys.ts";
import { runQuickstart } from "./quickstart.ts";
import { createScreen } from "./screen.ts";

const interruptedCode = 130;

async function main(): Promise<number> {
  const args = parseQuickstartArguments(process.argv.slice(2));
  if (args === "help") {
    console.log(usage);
    return 0;
  }
  if ("problem" in args) {
    console.error(`${args.problem}\n\n${usage}`);
    return 2;
  }
  const firstRun = process.env["MILLRACE_FIRST_RUN"] ?? "";
  const node = `node ${process.versions.node}${firstRun === "" ? "" : `, ${firstRun}`}`;
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  console.log(`millrace ${version}   quickstart   (${node})`);

  const listeners: ((command: Command) => void)[] = [];
  let quits = 0;
  const give = (command: Command): void => {
    const atOnce = listeners.length === 0 || quits > 0;
    if (command === "quit" && atOnce) process.exit(interruptedCode);
    if (command === "quit") quits++;
    for (const listener of listeners) listener(command);
  };
  const stopListening = listenToKeys(process.stdin, give);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => give("quit"));
  // npm runs scripts in the project's folder; paths are meant from where the user is.
  const from = process.env["INIT_CWD"] ?? process.cwd();
  try {
    return await runQuickstart({
      runtime: systemRuntime,
      args: { ...args, paths: args.paths.map((path) => resolve(from, path)) },
      directory: process.cwd(),
      screen: createScreen(process.stdout),
      onCommand: (each) => listeners.push(each),
      onAgents: (destroy) => process.on("exit", destroy),
    });
  } finally {
    stopListening();
  }
}

process.exitCode = await main();

import { type SubCommand, UsageError } from "./sub-command.ts";

export const dumpCommand: SubCommand = {
  summary: "",
  usage: "dump <directory>...",
  run: () => Promise.reject(new UsageError("")),
};

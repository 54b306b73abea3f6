import { type SubCommand, UsageError } from "./sub-command.ts";

export const drainCommand: SubCommand = {
  summary: "",
  usage: "drain <directory>...",
  run: () => Promise.reject(new UsageError("")),
};

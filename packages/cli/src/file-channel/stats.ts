import { type SubCommand, UsageError } from "./sub-command.ts";

export const statsCommand: SubCommand = {
  summary: "",
  usage: "stats <directory>...",
  run: () => Promise.reject(new UsageError("")),
};

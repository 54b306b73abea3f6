import { type SubCommand, UsageError } from "./sub-command.ts";

export const repairCommand: SubCommand = {
  summary: "",
  usage: "repair <directory>...",
  run: () => Promise.reject(new UsageError("")),
};

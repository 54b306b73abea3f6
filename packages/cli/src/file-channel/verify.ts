import { type SubCommand, UsageError } from "./sub-command.ts";

export const verifyCommand: SubCommand = {
  summary: "",
  usage: "verify <directory>...",
  run: () => Promise.reject(new UsageError("")),
};

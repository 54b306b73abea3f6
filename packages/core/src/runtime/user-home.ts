import { homedir } from "node:os";

/** What `~` means; `/` for a user without HOME and without an account, such as a container's may be. */
export function userHome(): string {
  try {
    return homedir();
  } catch {
    return "/";
  }
}

import type { RegistryEntry } from "@millrace/core";

/** What this program has components of. Nothing of them is loaded yet but their names. */
export async function loadRegistry(): Promise<readonly RegistryEntry[]> {
  const { registry } = await import("@millrace/components");
  return registry;
}

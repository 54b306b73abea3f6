import type { RegistryEntry } from "@millrace/core";

/** What this program has components of. Nothing of them is loaded yet but their names. */
export async function loadRegistry(): Promise<readonly RegistryEntry[]> {
  const packages = [
    await import("@millrace/components"),
    await import("@millrace/jdbc"),
    await import("@millrace/kafka"),
    await import("@millrace/kubernetes"),
  ];
  return packages.flatMap(({ registry }) => registry);
}

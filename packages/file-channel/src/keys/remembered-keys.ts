import type { KeyProvider } from "./key-provider.ts";

/** The same keys, each asked for once; a failure is not remembered. */
export function rememberedKeys(keys: KeyProvider): KeyProvider {
  const known = new Map<string, Buffer>();
  return {
    async key(alias) {
      const found = known.get(alias) ?? (await keys.key(alias));
      known.set(alias, found);
      return found;
    },
  };
}

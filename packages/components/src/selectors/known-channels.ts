import { type Channel, MillraceError, type SelectorContext } from "@millrace/core";

/**
 * The channels of these names. Throws CONFIG_INVALID, with the property's key behind the source's
 * name, for a name that is not among the source's channels.
 */
export function knownChannels(
  names: readonly string[],
  key: string,
  { channels, name: source }: SelectorContext,
): Channel[] {
  return [...new Set(names)].map((name) => {
    const channel = channels.get(name);
    if (channel !== undefined) return channel;
    const known = [...channels.keys()].join(", ");
    throw new MillraceError(
      "CONFIG_INVALID",
      `${key} names channel ${name}, which is not one of the channels of source ${source}: ${known}`,
      { context: { key, channel: name, known: [...channels.keys()] } },
    );
  });
}

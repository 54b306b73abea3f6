/** An option's name in the source, and the property of an RPC client that says the same. */
const same: readonly (readonly [string, string])[] = [
  ["ssl", "ssl"],
  ["keystore", "keystore"],
  ["keystorePassword", "keystore-password"],
  ["keystoreType", "keystore-type"],
  ["keystoreKey", "keystore-key"],
  ["truststore", "truststore"],
  ["truststorePassword", "truststore-password"],
  ["truststoreType", "truststore-type"],
  ["compressionType", "compression-type"],
];

/** How an RPC client speaks to an Avro source of these options. */
export function clientPropertiesOf(
  options: Readonly<Record<string, unknown>>,
): Map<string, string> {
  const properties = new Map<string, string>();
  for (const [option, property] of same) {
    const value = options[option];
    if (value !== undefined) properties.set(property, String(value));
  }
  return properties;
}

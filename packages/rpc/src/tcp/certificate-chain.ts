import type { KeyObject, X509Certificate } from "node:crypto";

/**
 * The certificate of the key, then the one that issued it, and so on as far as they are there: a
 * store may hold them in any order, and others beside them. Empty when none is the key's.
 */
export function orderChain(
  key: KeyObject,
  certificates: readonly X509Certificate[],
): readonly X509Certificate[] {
  const own = certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (own === undefined) return [];
  const chain = [own];
  const left = new Set(certificates.filter((certificate) => certificate !== own));
  for (let last = own; ;) {
    if (last.checkIssued(last)) return chain;
    const issuer = [...left].find((candidate) => last.checkIssued(candidate));
    if (issuer === undefined) return chain;
    left.delete(issuer);
    chain.push(issuer);
    last = issuer;
  }
}

/** Shared with the RPC clients, which know no component. */
export {
  checkClientTransport,
  clientCompressionOptions,
  type ClientCompressionValues,
  clientTls,
  clientTlsOptions,
  type ClientTlsValues,
  clientTransport,
  type ClientTransportValues,
} from "@millrace/rpc";

/** Shared with the RPC clients, which know no component. */
export {
  checkStoreType,
  type OptionCheck,
  passwordOption,
  storeOf,
  storeTypes,
  type SystemProperties,
  tlsChoiceOf,
  tlsChoiceOptions,
} from "@millrace/rpc";

/** Addresses to listen on: `coordinator:7070`, `10.0.0.1:7070`, `[fd00::1]:7070`. */
import { UsageError } from "../errors.js";

export interface ListenAddress {
  /** A name or address, an IPv6 address without brackets. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** Reads an address. Throws a UsageError for what is none. */
export function parseListenAddress(address: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new UsageError(`"${address}" is not a host and a port; write for example 10.0.0.1:7070.`);
  }
  return { host, port };
}

/** As it is read. */
export function listenText({ host, port }: ListenAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** As a URL. */
export function listenUrl(address: ListenAddress): string {
  return `http://${listenText(address)}`;
}

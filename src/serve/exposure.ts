/** Who can reach the server, decided before it listens. */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { UsageError } from "../errors.js";

export interface Exposure {
  readonly host: string;
  readonly apiKey: string | undefined;
  /** Whether everyone may use the server without a key. */
  readonly withoutKey: boolean;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether only this machine can reach an address; false for what is no IP address. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  // IPv4 addresses within IPv6 (::ffff:127.0.0.1) are looked up as IPv4 by the list itself.
  return version !== 0 && loopback.check(address, version === 4 ? "ipv4" : "ipv6");
}

/** Whether only this machine can reach what a name or address stands for. */
export async function isLoopbackHost(host: string): Promise<boolean> {
  if (isIP(host) !== 0) {
    return isLoopback(host);
  }
  const addresses = host === "" ? [] : await lookup(host, { all: true }).catch(() => []);
  return addresses.length > 0 && addresses.every(({ address }) => isLoopback(address));
}

/** Throws a UsageError for an empty key, and for none where other machines can reach the server. */
export async function checkExposure({ host, apiKey, withoutKey }: Exposure): Promise<void> {
  if (apiKey !== undefined && apiKey.trim() === "") {
    throw new UsageError(
      "the API key is empty, so that everyone would have it: give --api-key (or LLAMA_API_KEY) a value, or leave it out.",
    );
  }
  if (apiKey === undefined && !withoutKey && !(await isLoopbackHost(host))) {
    throw new UsageError(
      `${host === "" ? "an empty --host" : host} can be reached from other machines: set a key with --api-key (or LLAMA_API_KEY), or let everyone use the server with --no-api-key.`,
    );
  }
}

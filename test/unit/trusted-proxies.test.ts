import { describe, expect, test } from "vitest";
import { addressBytes, endpoint } from "../../adapters/ip-address.ts";
import { TrustedProxies } from "../../adapters/trusted-proxies.ts";

/** The address of a client whose connection comes from `peer` with these headers. */
function clientOf(trusted: string | string[], peer: string, headers: Record<string, string>) {
  const proxies = new TrustedProxies("trustedProxies", trusted);
  return proxies.clientOf(peer, (name) => headers[name] ?? null);
}

const PROXY = "127.0.0.1:4000";
const xff = (value: string) => ({ "x-forwarded-for": value });
const forwarded = (value: string) => ({ forwarded: value });

describe("an address", () => {
  test.each([
    ["192.0.2.1", "00000000000000000000ffffc0000201"],
    ["::ffff:192.0.2.1", "00000000000000000000ffffc0000201"],
    ["::", "00000000000000000000000000000000"],
    ["::1", "00000000000000000000000000000001"],
    ["2001:DB8::", "20010db8000000000000000000000000"],
    ["2001:db8:1:2:3:4:5:6", "20010db8000100020003000400050006"],
    ["2001:db8::3:4:5:6", "20010db8000000000003000400050006"],
    ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
    ["64:ff9b::192.0.2.1", "0064ff9b0000000000000000c0000201"],
  ])("%s", (text, bytes) => {
    expect(Buffer.from(addressBytes(text)!).toString("hex")).toBe(bytes);
  });

  const none = [
    "",
    "a",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "1.2.3.-4",
    "0x1.2.3.4",
  ];
  const noIpv6 = [
    ":",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "1:2:3:4:5:6:7:8::",
    "::g",
    "::12345",
  ];
  const noMixed = [
    "::1.2.3",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4",
    `::${"0".repeat(60)}1`,
  ];
  test.each([...none, ...noIpv6, ...noMixed])("%j is not an address", (text) => {
    expect(addressBytes(text)).toBeNull();
  });

  test.each([
    ["192.0.2.1", "192.0.2.1", null],
    ["192.0.2.1:80", "192.0.2.1", 80],
    ["2001:DB8::1", "2001:db8::1", null],
    ["[2001:db8::1]", "2001:db8::1", null],
    ["[2001:db8::1]:80", "2001:db8::1", 80],
    ["[::ffff:192.0.2.1]:80", "192.0.2.1", 80],
    ["::ffff:c000:201", "192.0.2.1", null],
    ["192.0.2.1:_hidden", "192.0.2.1", null],
    ["192.0.2.1:65535", "192.0.2.1", 65_535],
    ["fe80::1%eth0.100", "fe80::1%eth0.100", null],
    ["[fe80::1%25en0]:80", "fe80::1%25en0", 80],
  ])("%s is an address with or without a port", (text, address, port) => {
    expect(endpoint(text)).toMatchObject({ address, port });
  });

  const noPort = [
    "1.2.3.4:65536",
    "[::1]:99999",
    "1.2.3.4:999999",
    "1.2.3.4:",
    "1.2.3.4:a",
    "[::1]80",
  ];
  const noZone = [
    'fe80::1%eth0"<x>',
    "fe80::1%",
    "fe80::1%a b",
    `fe80::1%${"a".repeat(65)}`,
    "1.2.3.4%a",
  ];
  const noEndpoint = ["unknown", "_hidden", "[192.0.2.1", "a:80", ""];
  test.each([...noPort, ...noZone, ...noEndpoint])(
    "%j is not an address with or without a port",
    (text) => {
      expect(endpoint(text)).toBeNull();
    },
  );
});

describe("the trusted proxies", () => {
  test.each<[trusted: string, peer: string, isTrusted: boolean]>([
    ["127.0.0.1", "127.0.0.1:1", true],
    ["127.0.0.1", "127.0.0.2:1", false],
    ["10.0.0.0/8", "10.255.0.1:1", true],
    ["10.0.0.0/8", "11.0.0.1:1", false],
    ["10.1.2.3/8", "10.9.9.9:1", true],
    ["192.0.2.128/25", "192.0.2.127:1", false],
    ["192.0.2.128/25", "192.0.2.128:1", true],
    ["0.0.0.0/0", "8.8.8.8:1", true],
    ["0.0.0.0/0", "[::1]:1", false],
    ["::/0", "[2001:db8::1]:1", true],
    ["::1", "[::1]:1", true],
    ["2001:db8::/33", "[2001:db8:7fff::1]:1", true],
    ["2001:db8::/33", "[2001:db8:8000::1]:1", false],
    ["fe80::/10", "[fe80::1%eth0]:1", true],
    ["::ffff:10.0.0.0/104", "10.1.1.1:1", true],
    ["10.0.0.1, 10.0.0.2", "10.0.0.2:1", true],
    ["unix", "unix", true],
    ["127.0.0.1", "unix", false],
    ["unix", "127.0.0.1:1", false],
    ["0.0.0.0/0", "unknown:0", false],
  ])("trust %s: is the peer %s trusted? %s", (trusted, peer, isTrusted) => {
    expect(clientOf(trusted, peer, xff("203.0.113.7"))).toBe(isTrusted ? "203.0.113.7" : peer);
  });

  test("are none by default", () => {
    expect(clientOf([], PROXY, xff("203.0.113.7"))).toBe(PROXY);
  });

  const texts = ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/129", "10.0.0/8"];
  const wrong: unknown[] = [
    ...texts,
    "10.0.0.1,",
    "*",
    "1.2.3.4:80",
    ["127.0.0.1", 5],
    true,
    null,
    {},
  ];
  test.each(wrong.map((given) => ({ given })))("$given is a ConfigError", ({ given }) => {
    const error = { name: "ConfigError", field: "trustedProxies" };
    const make = (): unknown => new TrustedProxies("trustedProxies", given);
    expect(make).toThrow(expect.objectContaining(error));
  });
});

describe("the client of a trusted proxy", () => {
  test.each<[headers: Record<string, string>, client: string]>([
    [{}, PROXY],
    [xff("203.0.113.7"), "203.0.113.7"],
    [xff("203.0.113.7:5000"), "203.0.113.7:5000"],
    [xff("2001:db8::7"), "[2001:db8::7]"],
    [xff("[2001:db8::7]:5000"), "[2001:db8::7]:5000"],
    [xff("::ffff:203.0.113.7"), "203.0.113.7"],
    // Addresses before the last untrusted one may be forged.
    [xff("10.1.1.1, 198.51.100.1, 203.0.113.7"), "203.0.113.7"],
    [xff('nonsense", 203.0.113.7'), "203.0.113.7"],
    // Through two proxies.
    [xff("198.51.100.1,203.0.113.7 , 10.0.0.9"), "203.0.113.7"],
    // All addresses are trusted proxies: the first is the client's.
    [xff("10.0.0.8, 10.0.0.9"), "10.0.0.8"],
    [xff("unknown"), PROXY],
    [xff("203.0.113.7, unknown, 10.0.0.9"), "10.0.0.9"],
    [xff(""), PROXY],
    [forwarded("for=203.0.113.7"), "203.0.113.7"],
    [forwarded('For="[2001:db8::7]:5000";proto=https;by=10.0.0.1'), "[2001:db8::7]:5000"],
    [forwarded("proto=https; for=203.0.113.7:5000"), "203.0.113.7:5000"],
    [
      forwarded('for=198.51.100.1;ext="a,b;c\\"for=1.2.3.4", for="203.0.113.7" ,for=10.0.0.9'),
      "203.0.113.7",
    ],
    [forwarded('for="203\\.0.113.7"'), "203.0.113.7"],
    [forwarded("for=_hidden"), PROXY],
    [forwarded("for=203.0.113.7, proto=http"), PROXY],
    [forwarded(""), PROXY],
    // RFC 7239 §4 has empty pairs, RFC 9110 §5.6.1.2 empty elements.
    [forwarded("for=203.0.113.7;"), "203.0.113.7"],
    [forwarded(";for=203.0.113.7 ; ;proto=https"), "203.0.113.7"],
    [forwarded(",for=203.0.113.7"), "203.0.113.7"],
    [forwarded("for=198.51.100.1, , for=203.0.113.7 ,\t,"), "203.0.113.7"],
    [forwarded(" , ,"), PROXY],
    [forwarded("for=203.0.113.7, ;"), PROXY],
    [xff("203.0.113.7:99999"), PROXY],
    [xff('fe80::1%eth0"<x>'), PROXY],
    [{ ...xff("203.0.113.7"), ...forwarded("for=203.0.113.7:80") }, "203.0.113.7"],
    // One of the two headers names only proxies, so that no client could gain by it.
    [{ ...xff("203.0.113.7"), ...forwarded("for=10.0.0.9") }, "203.0.113.7"],
    [{ ...xff("10.0.0.9"), ...forwarded("for=203.0.113.7") }, "203.0.113.7"],
    [{ ...xff(""), ...forwarded("for=203.0.113.7") }, "203.0.113.7"],
    [{ ...xff("203.0.113.7"), ...forwarded("") }, "203.0.113.7"],
    // Both headers say the same, and neither names the client.
    [{ ...xff("unknown"), ...forwarded("for=_hidden") }, PROXY],
    [{ ...xff("unknown, 10.0.0.9"), ...forwarded("for=unknown, for=10.0.0.9") }, "10.0.0.9"],
    [{ ...xff("10.0.0.8, 10.0.0.9"), ...forwarded("for=10.0.0.8, for=10.0.0.9") }, "10.0.0.8"],
  ])("%j", (headers, client) => {
    expect(clientOf("127.0.0.1,10.0.0.0/8", PROXY, headers)).toBe(client);
  });

  test.each([
    { ...xff("203.0.113.7"), ...forwarded("for=198.51.100.1") },
    forwarded('for="198.51.100.1, for=203.0.113.7'),
    forwarded("for=198.51.100.1 203.0.113.7"),
    forwarded("203.0.113.7"),
    { ...xff("203.0.113.7"), ...forwarded("nonsense") },
    // The client may have written one of the two headers, perhaps the one with an address.
    { ...xff("203.0.113.7"), ...forwarded("for=unknown") },
    { ...xff("203.0.113.7"), ...forwarded("for=_hidden, for=10.0.0.9") },
    { ...xff("203.0.113.7"), ...forwarded("proto=https") },
    { ...xff("unknown"), ...forwarded("for=203.0.113.7") },
    { ...xff("unknown"), ...forwarded("for=10.0.0.9") },
    { ...xff("10.0.0.9"), ...forwarded("for=10.0.0.8") },
    { ...xff("unknown, 10.0.0.9"), ...forwarded("for=unknown, for=10.0.0.8") },
    // RFC 7239 §4: each parameter once.
    forwarded("for=203.0.113.7;for=198.51.100.1"),
    forwarded(`${" ".repeat(16_000)}"`),
  ])("is refused with %j, because the client may have written these headers", (headers) => {
    expect(clientOf("127.0.0.1,10.0.0.0/8", PROXY, headers)).toBeNull();
  });
});

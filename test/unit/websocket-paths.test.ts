import { describe, expect, test } from "vitest";
import { WebSocketPaths } from "../../adapters/websocket-paths.ts";

describe("the paths at which WebSocket clients are served", () => {
  test.each<[given: string | string[], served: string[], notServed: string[]]>([
    [
      "/mqtt",
      ["/mqtt", "/mqtt/", "/mqtt//", "/mqtt?a=/b", "/mqtt/?", "http://x/mqtt"],
      ["/", "", "/mqtt2", "/mqtt/a", "/MQTT", "/a/mqtt", "mqtt", "/%6dqtt"],
    ],
    ["/mqtt/", ["/mqtt", "/mqtt/"], ["/", "/mqtt/a"]],
    ["/", ["/", "", "//", "/?a", "?a", "http://x", "http://x/", "http://x?a"], ["/mqtt", "/a/"]],
    ["/mqtt,/ws", ["/mqtt", "/ws/"], ["/", "/mqtt,/ws"]],
    [
      ["/a", " /b , /c/d"],
      ["/a", "/b", "/c/d"],
      ["/c", "/d"],
    ],
    ["/*", ["/", "", "/mqtt", "/a/b/", "/a?b", "http://x/a"], []],
    ["/sub/*", ["/sub", "/sub/", "/sub/a", "/sub/a/b?c"], ["/", "/subway", "/a/sub/b"]],
    // Bun and Deno resolve dots before the adapter sees the path, and so do Node clients that build URLs.
    [
      "/sub/*",
      ["/sub/./x", "/x/../sub/y", "/sub/x/..", "/sub/%2e/x"],
      ["/sub/../x", "/sub/..", "/sub/x/../../y", "/sub/%2E%2e/x", "/sub\\..\\x"],
    ],
    ['/x/../mqtt,/q"', ["/mqtt", '/q"', "/q%22"], ["/x"]],
    ["/a/b/*,/", ["/a/b", "/a/b/c", "/"], ["/a", "/a/c"]],
  ])("%j", (given, served, notServed) => {
    const paths = new WebSocketPaths("path", given);
    expect(served.filter((target) => !paths.has(target))).toEqual([]);
    expect(notServed.filter((target) => paths.has(target))).toEqual([]);
  });

  const texts = [
    "",
    "mqtt",
    "*",
    "/a*",
    "/a/*b",
    "/*/a",
    "/a/**",
    "/a b",
    "/a?b",
    "/a#b",
    "/a,",
    ",/a",
    "/ä",
    "/a,b",
  ];
  const wrong: unknown[] = [...texts, [], ["/a", 5], null, 5, {}];
  test.each(wrong.map((given) => ({ given })))("$given is a ConfigError", ({ given }) => {
    const make = (): unknown => new WebSocketPaths("ws.path", given);
    expect(make).toThrow(expect.objectContaining({ name: "ConfigError", field: "ws.path" }));
    expect(make).toThrow("paths that begin with /");
  });

  test("a path of many slashes is handled in linear time", () => {
    const target = `/mqtt${"/".repeat(1_000_000)}x`;
    expect(new WebSocketPaths("path", "/mqtt").has(target)).toBe(false);
  });
});

/**
 * Topic names, each with a value, in a tree by level. A filter finds its matches without visiting
 * the rest.
 */

/** One level of the names. It has a Map of children only while it has children. */
interface Node {
  readonly parent: Node | null;
  readonly level: string;
  children: Map<string, Node> | null;
  /** The value of the name that ends here, or -1. */
  value: number;
}

/** How many more nodes may be visited; several cursors can share one budget. */
export interface ScanBudget {
  stepsLeft: number;
}

/** The result of a cursor that ran out of budget before it found a name or reached the end. */
export const UNFINISHED = -2;

export class NameTree {
  readonly #root: Node = { parent: null, level: "", children: null, value: -1 };
  readonly #byName = new Map<string, Node>();

  get size(): number {
    return this.#byName.size;
  }

  /** The value of a name, or -1. */
  get(name: string): number {
    return this.#byName.get(name)?.value ?? -1;
  }

  /** Sets the value of a name, which is at least 0; returns its previous value, or -1. */
  set(name: string, value: number): number {
    let node = this.#byName.get(name);
    if (node === undefined) {
      node = this.#root;
      for (const level of name.split("/")) node = child(node, level);
      this.#byName.set(name, node);
    }
    const before = node.value;
    node.value = value;
    return before;
  }

  /** Removes a name; returns its value, or -1. */
  delete(name: string): number {
    let node = this.#byName.get(name);
    if (node === undefined) return -1;
    this.#byName.delete(name);
    const { value } = node;
    node.value = -1;
    while (node.value < 0 && node.children === null && node.parent !== null) {
      const { parent, level }: Node = node;
      parent.children!.delete(level);
      if (parent.children!.size === 0) parent.children = null;
      node = parent;
    }
    return value;
  }

  /** A cursor over the names that a filter matches. */
  cursor(filter: string): NameCursor {
    return new NameCursor(this.#root, filter.split("/"));
  }
}

/**
 * A cursor that tolerates changes of the tree: a name that is removed before its turn is not
 * returned, an added name may or may not be, and no name is returned twice. It relies on Map
 * iterators, which tolerate the same changes.
 */
export class NameCursor {
  readonly #levels: readonly string[];
  /** The position of the cursor: at each depth, the nodes still to visit. */
  readonly #stack: { readonly nodes: Iterator<Node>; readonly depth: number }[] = [];

  constructor(root: Node, levels: readonly string[]) {
    this.#levels = levels;
    this.#push(root, 0);
  }

  /**
   * The value of the next name; -1 at the end; `UNFINISHED` if `budget` has no steps left, and
   * the caller is to call again later.
   */
  next(budget: ScanBudget): number {
    for (;;) {
      const top = this.#stack.at(-1);
      if (top === undefined) return -1;
      if (budget.stepsLeft <= 0) return UNFINISHED;
      budget.stepsLeft--;
      const { value: node, done } = top.nodes.next();
      if (done === true) {
        this.#stack.pop();
        continue;
      }
      const { depth } = top;
      const isRest = this.#levels[depth] === "#";
      // Below `#`, every depth belongs to that same level of the filter.
      const below = isRest ? depth : depth + 1;
      const isEnd = isRest || below === this.#levels.length || this.#endsInParent(below);
      const value = isEnd ? node.value : -1;
      if (below < this.#levels.length) this.#push(node, below);
      if (value >= 0) return value;
    }
  }

  /** `a/#` matches `a` too, MQTT 3.1.1 §4.7.1.2. */
  #endsInParent(depth: number): boolean {
    return depth === this.#levels.length - 1 && this.#levels[depth] === "#";
  }

  /** Schedules the children of `node` that match level `depth` of the filter. */
  #push(node: Node, depth: number): void {
    const { children } = node;
    if (children === null) return;
    const level = this.#levels[depth]!;
    if (level === "#" || level === "+") {
      const nodes = children.values();
      const isFirst = node.parent === null;
      this.#stack.push({ nodes: isFirst ? withoutServerTopics(nodes) : nodes, depth });
    } else {
      const only = children.get(level);
      if (only !== undefined) this.#stack.push({ nodes: [only].values(), depth });
    }
  }
}

function child(node: Node, level: string): Node {
  node.children ??= new Map();
  let found = node.children.get(level);
  if (found === undefined) {
    found = { parent: node, level, children: null, value: -1 };
    node.children.set(level, found);
  }
  return found;
}

/** [MQTT311-4.7.2-1] */
function* withoutServerTopics(nodes: Iterable<Node>): Generator<Node, undefined> {
  for (const node of nodes) if (!node.level.startsWith("$")) yield node;
  return undefined;
}

// Structured control flow for a region's graph: reverse postorder, dominators, loop headers and join points, as the
// nesting of WebAssembly's blocks needs them (Ramsey, "Beyond Relooper", ICFP 2022; Cooper, Harvey, Kennedy, "A Simple, Fast
// Dominance Algorithm").

export interface Structure {
  /** Place in reverse postorder by node; -1 when it is not reached. */
  readonly order: Int32Array;
  /** Nodes in reverse postorder. */
  readonly nodes: readonly number[];
  readonly isLoopHeader: Uint8Array;
  /** Reached by two or more forward edges: its code stands behind a block that ends there. */
  readonly isJoin: Uint8Array;
  /** Join points whose immediate dominator is the node, by their order. */
  readonly joins: readonly (readonly number[])[];
  /** Edges that enter a loop other than by its header were cut: these have to leave the region. */
  isCut(from: number, to: number): boolean;
}

/** Node 0 is the entry. */
export function structureOf(successors: readonly (readonly number[])[]): Structure {
  const cut = new Set<number>();
  const count = successors.length;
  const key = (from: number, to: number): number => from * count + to;
  for (;;) {
    const edges = successors.map((list, from) => list.filter((to) => !cut.has(key(from, to))));
    const { nodes, order } = reversePostorder(edges);
    const dominator = dominators(edges, nodes, order);
    const dominates = (a: number, b: number): boolean => {
      let node = b;
      while (order[node]! > order[a]!) node = dominator[node]!;
      return node === a;
    };
    let irreducible = false;
    const isLoopHeader = new Uint8Array(count);
    const forward = new Int32Array(count);
    for (const from of nodes) {
      for (const to of edges[from]!) {
        if (order[to]! > order[from]!) forward[to]!++;
        else if (dominates(to, from)) isLoopHeader[to] = 1;
        else {
          cut.add(key(from, to));
          irreducible = true;
        }
      }
    }
    if (irreducible) continue;
    const isJoin = Uint8Array.from(forward, (n) => (n > 1 ? 1 : 0));
    const joins: number[][] = successors.map(() => []);
    for (const node of nodes) if (isJoin[node] !== 0) joins[dominator[node]!]!.push(node);
    return { order, nodes, isLoopHeader, isJoin, joins, isCut: (from, to) => cut.has(key(from, to)) };
  }
}

function reversePostorder(edges: readonly (readonly number[])[]): { nodes: number[]; order: Int32Array } {
  const seen = new Uint8Array(edges.length);
  const post: number[] = [];
  const stack: { node: number; next: number }[] = [{ node: 0, next: 0 }];
  seen[0] = 1;
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const to = edges[top.node]![top.next++];
    if (to === undefined) {
      post.push(top.node);
      stack.pop();
    } else if (seen[to] === 0) {
      seen[to] = 1;
      stack.push({ node: to, next: 0 });
    }
  }
  const nodes = post.reverse();
  const order = new Int32Array(edges.length).fill(-1);
  nodes.forEach((node, i) => {
    order[node] = i;
  });
  return { nodes, order };
}

function dominators(edges: readonly (readonly number[])[], nodes: readonly number[], order: Int32Array): Int32Array {
  const predecessors: number[][] = edges.map(() => []);
  for (const from of nodes) for (const to of edges[from]!) predecessors[to]!.push(from);
  const dominator = new Int32Array(edges.length).fill(-1);
  dominator[0] = 0;
  const intersect = (a: number, b: number): number => {
    let [x, y] = [a, b];
    while (x !== y) {
      while (order[x]! > order[y]!) x = dominator[x]!;
      while (order[y]! > order[x]!) y = dominator[y]!;
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of nodes) {
      if (node === 0) continue;
      let found = -1;
      for (const from of predecessors[node]!) {
        if (dominator[from] === -1) continue;
        found = found === -1 ? from : intersect(from, found);
      }
      if (dominator[node] !== found) {
        dominator[node] = found;
        changed = true;
      }
    }
  }
  return dominator;
}

// What the compiler of the benchmark compiles: plain C without headers.
typedef unsigned int u32;
typedef unsigned long long u64;

struct node {
  struct node *left, *right;
  u32 key, height;
};

static u32 height(const struct node *n) { return n ? n->height : 0; }

static void fix(struct node *n) {
  u32 l = height(n->left), r = height(n->right);
  n->height = (l > r ? l : r) + 1;
}

static struct node *turn_left(struct node *n) {
  struct node *r = n->right;
  n->right = r->left;
  r->left = n;
  fix(n);
  fix(r);
  return r;
}

static struct node *turn_right(struct node *n) {
  struct node *l = n->left;
  n->left = l->right;
  l->right = n;
  fix(n);
  fix(l);
  return l;
}

struct node *insert(struct node *root, struct node *fresh) {
  if (!root) return fresh;
  if (fresh->key < root->key) root->left = insert(root->left, fresh);
  else root->right = insert(root->right, fresh);
  fix(root);
  int balance = (int)height(root->left) - (int)height(root->right);
  if (balance > 1) {
    if (fresh->key >= root->left->key) root->left = turn_left(root->left);
    return turn_right(root);
  }
  if (balance < -1) {
    if (fresh->key < root->right->key) root->right = turn_right(root->right);
    return turn_left(root);
  }
  return root;
}

u32 checksum(const unsigned char *bytes, u32 count) {
  u32 a = 1, b = 0;
  for (u32 i = 0; i < count; i++) {
    a = (a + bytes[i]) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

void product(float *restrict out, const float *restrict a, const float *restrict b, int n) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < n; k++) {
      float sum = 0;
      for (int j = 0; j < n; j++) sum += a[i * n + j] * b[j * n + k];
      out[i * n + k] = sum;
    }
}

enum token { END, NUMBER, NAME, OPEN, CLOSE, OPERATOR, WRONG };

struct lexer {
  const char *at;
  u64 number;
  char name[32];
};

enum token next(struct lexer *lexer) {
  while (*lexer->at == ' ' || *lexer->at == '\n' || *lexer->at == '\t') lexer->at++;
  char c = *lexer->at;
  if (!c) return END;
  if (c >= '0' && c <= '9') {
    lexer->number = 0;
    while (*lexer->at >= '0' && *lexer->at <= '9') lexer->number = lexer->number * 10 + (u64)(*lexer->at++ - '0');
    return NUMBER;
  }
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') {
    u32 length = 0;
    while ((*lexer->at >= 'a' && *lexer->at <= 'z') || (*lexer->at >= 'A' && *lexer->at <= 'Z') || *lexer->at == '_' || (*lexer->at >= '0' && *lexer->at <= '9')) {
      if (length < sizeof lexer->name - 1) lexer->name[length++] = *lexer->at;
      lexer->at++;
    }
    lexer->name[length] = 0;
    return NAME;
  }
  lexer->at++;
  switch (c) {
    case '(': case '[': case '{': return OPEN;
    case ')': case ']': case '}': return CLOSE;
    case '+': case '-': case '*': case '/': case '%': case '<': case '>': case '=': case '&': case '|': return OPERATOR;
    default: return WRONG;
  }
}

int evaluate(const unsigned char *code, int *stack, u32 limit) {
  u32 top = 0;
  for (u32 steps = 0; steps < 100000; steps++) {
    unsigned char op = *code++;
    if (op < 64) {
      if (top == limit) return -1;
      stack[top++] = op;
      continue;
    }
    if (top < 2) return -2;
    int b = stack[--top], a = stack[--top], value;
    switch (op & 15) {
      case 0: value = a + b; break;
      case 1: value = a - b; break;
      case 2: value = a * b; break;
      case 3: if (!b) return -3; value = a / b; break;
      case 4: if (!b) return -3; value = a % b; break;
      case 5: value = a & b; break;
      case 6: value = a | b; break;
      case 7: value = a ^ b; break;
      case 8: value = a << (b & 31); break;
      case 9: value = a >> (b & 31); break;
      case 10: value = a < b; break;
      case 11: value = a == b; break;
      case 12: return a > b ? a : b;
      default: code += b & 7; value = a; break;
    }
    stack[top++] = value;
  }
  return -4;
}

u64 greatest(u64 a, u64 b) { return b ? greatest(b, a % b) : a; }

void sort(u32 *items, int from, int to) {
  while (from < to) {
    u32 pivot = items[(from + to) / 2];
    int i = from, k = to;
    while (i <= k) {
      while (items[i] < pivot) i++;
      while (items[k] > pivot) k--;
      if (i > k) break;
      u32 t = items[i];
      items[i++] = items[k];
      items[k--] = t;
    }
    if (k - from < to - i) {
      sort(items, from, k);
      from = i;
    } else {
      sort(items, i, to);
      to = k;
    }
  }
}

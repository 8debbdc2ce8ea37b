// Decoders of recordings and checks of events. Each function has a counterpart in Python that
// computes the same: easnn/events/evt_decode.py, dat.py and checks.py, which describe the formats.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "export.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Stored words are read as they are.");

namespace {

using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;

// Words and events may start at any address.
template <class T>
inline T load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
inline void store(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

// An event (EVENT_DTYPE): t_us i8; x u2, y u2, p u1, which are the bytes of `xyp` from the lowest.
constexpr std::ptrdiff_t EVENT_BYTES = 13;
constexpr std::ptrdiff_t XY_AT = 8;

inline uint64_t pack_xyp(uint64_t x, uint64_t y, uint64_t p) { return x | y << 16 | p << 32; }

// Writes 3 bytes more than the event has.
inline void store_wide(char* to, uint64_t t_us, uint64_t xyp) {
  store(to, t_us);
  store(to + XY_AT, xyp);
}

inline void store_exactly(char* to, uint64_t t_us, uint64_t xyp) {
  store(to, t_us);
  store(to + XY_AT, static_cast<uint32_t>(xyp));
  store(to + XY_AT + 4, static_cast<unsigned char>(xyp >> 32));
}

inline int count_bits(uint32_t bits) {
  bits -= bits >> 1 & 0x55555555u;
  bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
  return static_cast<int>(((bits + (bits >> 4)) & 0x0F0F0F0Fu) * 0x01010101u >> 24);
}

constexpr uint64_t NOWHERE_PX = 65535;

inline uint64_t column(uint64_t first_x, uint64_t bit) {
  return std::min(first_x + bit, NOWHERE_PX);
}

// As DecoderState.
struct State {
  int64_t high, loops, low, y, base_x, base_p;
};

// A sink takes the events of a decoder: `at` sets the time of those after it; `single` is an event
// if `there`; `vector` has an event for every bit.

struct Discarded {
  bool has_room() const { return true; }
  void at(uint64_t) {}
  void single(bool, uint64_t, uint64_t, uint64_t) {}
  void vector(uint64_t, uint64_t, uint64_t, uint32_t) {}
};

// Counts events, and those that come after a later one.
class Counter {
 public:
  explicit Counter(int64_t latest_us) : latest_(latest_us) {}

  bool has_room() const { return true; }
  void at(uint64_t t_us) {
    close_time();
    now_ = static_cast<int64_t>(t_us);
  }
  void single(bool there, uint64_t, uint64_t, uint64_t) { at_now_ += there; }
  void vector(uint64_t, uint64_t, uint64_t, uint32_t bits) { at_now_ += count_bits(bits); }

  // count, first time, latest time, number of late events, how late the worst one is
  void report(int64_t to[5]) {
    close_time();
    const int64_t found[] = {count_, first_, latest_, late_, worst_};
    std::copy(found, found + 5, to);
  }

 private:
  void close_time() {
    if (at_now_ == 0) return;
    if (count_ == 0) first_ = now_;
    count_ += at_now_;
    late_ += now_ < latest_ ? at_now_ : 0;
    latest_ = std::max(latest_, now_);
    worst_ = std::max(
        worst_, static_cast<int64_t>(static_cast<uint64_t>(latest_) - static_cast<uint64_t>(now_)));
    at_now_ = 0;
  }

  int64_t latest_, now_ = 0, at_now_ = 0, count_ = 0, first_ = 0, late_ = 0, worst_ = 0;
};

// Writes events where there is room for those of any word and for what is written in vain.
class RoomyWriter {
 public:
  RoomyWriter(char* begin, int64_t capacity)
      : to_(begin), end_(begin + std::max(capacity - ROOM, int64_t{0}) * EVENT_BYTES) {}

  bool has_room() const { return to_ < end_; }
  void at(uint64_t t_us) { t_us_ = t_us; }
  void single(bool there, uint64_t x, uint64_t y, uint64_t p) {
    store_wide(to_, t_us_, pack_xyp(x, y, p));
    to_ += there ? EVENT_BYTES : 0;
  }
  void vector(uint64_t first_x, uint64_t y, uint64_t p, uint32_t bits) {
    const uint64_t yp = pack_xyp(0, y, p);
    char* to = to_;
    to_ += EVENT_BYTES * count_bits(bits);
    do {  // always four, so that few branches depend on the bits
      for (int k = 0; k < 4; ++k, to += EVENT_BYTES) {
        store_wide(to, t_us_, yp | column(first_x, __builtin_ctz(bits | 1u << 31)));
        bits &= bits - 1;
      }
    } while (bits);
  }
  char* end() const { return to_; }

 private:
  static constexpr int64_t ROOM = 32 + 4;
  char* to_;
  char* end_;
  uint64_t t_us_ = 0;
};

// Writes what fits, and counts everything.
class ExactWriter {
 public:
  ExactWriter(char* begin, int64_t capacity, int64_t count)
      : begin_(begin), capacity_(capacity), count_(count) {}

  bool has_room() const { return true; }
  void at(uint64_t t_us) { t_us_ = t_us; }
  void single(bool there, uint64_t x, uint64_t y, uint64_t p) {
    if (!there) return;
    if (count_ < capacity_) store_exactly(begin_ + count_ * EVENT_BYTES, t_us_, pack_xyp(x, y, p));
    ++count_;
  }
  void vector(uint64_t first_x, uint64_t y, uint64_t p, uint32_t bits) {
    for (; bits; bits &= bits - 1) single(true, column(first_x, __builtin_ctz(bits)), y, p);
  }
  int64_t count() const { return count_; }

 private:
  char* begin_;
  int64_t capacity_, count_;
  uint64_t t_us_ = 0;
};

// Sets the high bits of the time; the arithmetic wraps as NumPy's does.
template <int BITS>
inline void set_high(State& state, int64_t value) {
  state.loops += state.high - value >= int64_t{1} << (BITS - 1);
  state.high = value;
}

template <int BITS, int LOW_BITS>
inline uint64_t time_of(const State& state) {
  return (static_cast<uint64_t>(state.loops) << BITS | static_cast<uint64_t>(state.high))
         << LOW_BITS;
}

struct Evt2 {
  using Word = uint32_t;
  static uint64_t time(const State& state) { return time_of<28, 6>(state); }

  template <class Sink>
  static void step(Word word, State& state, Sink& sink) {
    const uint32_t kind = word >> 28;
    if (kind <= 1) {
      sink.at(time(state) | (word >> 22 & 0x3F));
      sink.single(true, word >> 11 & 0x7FF, word & 0x7FF, kind);
    } else if (kind == 8) {
      set_high<28>(state, word & 0xFFFFFFF);
    }
  }
};

struct Evt21 {
  using Word = uint64_t;
  static uint64_t time(const State& state) { return time_of<28, 6>(state); }

  template <class Sink>
  static void step(Word word, State& state, Sink& sink) {
    const uint64_t kind = word >> 60;
    if (kind <= 1) {
      sink.at(time(state) | (word >> 54 & 0x3F));
      sink.vector(word >> 43 & 0x7FF, word >> 32 & 0x7FF, kind, static_cast<uint32_t>(word));
    } else if (kind == 8) {
      set_high<28>(state, word >> 32 & 0xFFFFFFF);
    }
  }
};

struct Evt3 {
  using Word = uint16_t;
  static uint64_t time(const State& state) {
    return time_of<12, 12>(state) | static_cast<uint64_t>(state.low);
  }

  template <class Sink>
  static void step(Word word, State& state, Sink& sink) {
    const uint32_t kind = word >> 12;
    const uint32_t value = word & 0xFFF;
    if (kind <= 2) {  // no branch between rows and events, whose order is hard to predict
      state.y = kind == 0 ? value & 0x7FF : state.y;
      sink.single(kind == 2, value & 0x7FF, state.y, value >> 11);
    } else if (kind == 3) {
      state.base_x = value & 0x7FF;
      state.base_p = value >> 11;
    } else if (kind <= 5) {
      sink.vector(state.base_x, state.y, state.base_p, kind == 4 ? value : value & 0xFF);
      state.base_x = column(state.base_x, kind == 4 ? 12 : 8);
    } else if (kind == 6) {
      state.low = value;
      sink.at(time(state));
    } else if (kind == 8) {
      state.low = state.high == value ? state.low : 0;
      set_high<12>(state, value);
      sink.at(time(state));
    }
  }
};

// Words are taken until none is left or the sink has no room for another.
template <class Encoding, class Sink>
const char* decode(const char* words, const char* end, State& state, Sink& sink) {
  using Word = typename Encoding::Word;
  State now = state;  // copies to which nothing else points stay in registers
  Sink to = sink;
  to.at(Encoding::time(now));
  for (; words != end && to.has_room(); words += sizeof(Word))
    Encoding::step(load<Word>(words), now, to);
  state = now;
  sink = to;
  return words;
}

// Events before the first high time are dropped.
template <class Encoding>
const char* skip_untimed(const char* words, const char* end, State& state) {
  using Word = typename Encoding::Word;
  Discarded sink;
  for (; words != end && state.high < 0; words += sizeof(Word))
    Encoding::step(load<Word>(words), state, sink);
  return words;
}

template <class Encoding>
void survey(const char* words, int64_t count, State& state, int64_t latest_us, int64_t* report) {
  const char* end = words + count * sizeof(typename Encoding::Word);
  words = skip_untimed<Encoding>(words, end, state);
  Counter counter(latest_us);
  decode<Encoding>(words, end, state, counter);
  counter.report(report);
}

template <class Encoding>
int64_t write(const char* words, int64_t count, State& state, char* events, int64_t capacity) {
  const char* end = words + count * sizeof(typename Encoding::Word);
  words = skip_untimed<Encoding>(words, end, state);
  RoomyWriter most(events, capacity);
  words = decode<Encoding>(words, end, state, most);
  ExactWriter rest(events, capacity, (most.end() - events) / EVENT_BYTES);
  decode<Encoding>(words, end, state, rest);
  return rest.count();
}

}  // namespace

// Nothing below allocates or throws, so nothing is guarded (export.h).

// Counts the events of `count` words and updates the state. Reports: number of events, time of the
// first one, largest time (`latest_us` or later), how many come after a later one, and by how many
// µs at most. Returns whether the number of bits per word is known.
EASNN_EXPORT std::int64_t easnn_evt_survey(int encoding, const char* words, std::int64_t count,
                                           State* state, std::int64_t latest_us,
                                           std::int64_t* report) {
  switch (encoding) {
    case 2: survey<Evt2>(words, count, *state, latest_us, report); return 1;
    case 21: survey<Evt21>(words, count, *state, latest_us, report); return 1;
    case 3: survey<Evt3>(words, count, *state, latest_us, report); return 1;
    default: return 0;
  }
}

// Writes the events of `count` words, not more than `capacity`, and updates the state. Returns how
// many events the words have; -1: unknown encoding.
EASNN_EXPORT std::int64_t easnn_evt_decode(int encoding, const char* words, std::int64_t count,
                                           State* state, char* events, std::int64_t capacity) {
  switch (encoding) {
    case 2: return write<Evt2>(words, count, *state, events, capacity);
    case 21: return write<Evt21>(words, count, *state, events, capacity);
    case 3: return write<Evt3>(words, count, *state, events, capacity);
    default: return -1;
  }
}

// Replaces the times of `count` events by the running maximum, starting with `latest_us`. Returns
// how many were late; if one is later than `limit_us`, -1 - its number, and stops there.
EASNN_EXPORT std::int64_t easnn_restore_order(char* events, std::int64_t count,
                                              std::int64_t latest_us, std::int64_t limit_us) {
  int64_t late = 0;
  for (int64_t i = 0; i < count; ++i, events += EVENT_BYTES) {
    const auto t_us = load<int64_t>(events);
    if (t_us < latest_us) {
      const auto gap = static_cast<uint64_t>(latest_us) - static_cast<uint64_t>(t_us);
      if (static_cast<int64_t>(gap) > limit_us) return -1 - i;
      store(events, latest_us);
      ++late;
    } else {
      latest_us = t_us;
    }
  }
  return late;
}

// Returns the number of the first of `count` events that is not inside the sensor; else `count`.
EASNN_EXPORT std::int64_t easnn_first_outside(const char* events, std::int64_t count,
                                              std::int64_t height, std::int64_t width) {
  constexpr int64_t GROUP = 256;
  // x and y, with zeros between them: each plus its gap carries into bit 16 if it is outside.
  const auto gap = [](int64_t side) { return 65536 - std::clamp<int64_t>(side, 0, 65536); };
  const auto gaps = static_cast<uint64_t>(gap(width) | gap(height) << 32);
  const auto carries = [=](const char* event) {
    const uint64_t xy = load<uint32_t>(event + XY_AT);
    return ((xy & 0xFFFF) | xy >> 16 << 32) + gaps;
  };
  constexpr uint64_t OUTSIDE = uint64_t{1} << 16 | uint64_t{1} << 48;
  int64_t i = 0;
  for (; i + GROUP <= count; i += GROUP) {
    uint64_t any = 0;
    for (int64_t k = i; k < i + GROUP; ++k) any |= carries(events + k * EVENT_BYTES);
    if (any & OUTSIDE) break;
  }
  while (i < count && !(carries(events + i * EVENT_BYTES) & OUTSIDE)) ++i;
  return i;
}

// Writes `count` DAT records as events. Their times are the counter + `add_us`, but never less than
// `*last_us`, which becomes the time of the last one. Returns whether an event is more than
// `limit_us` late.
EASNN_EXPORT std::int64_t easnn_dat_decode(const char* records, std::int64_t count,
                                           std::int64_t add_us, std::int64_t limit_us,
                                           std::int64_t* last_us, int x_bits, int y_bits,
                                           char* events) {
  int64_t latest_us = *last_us, margins = 0;
  const uint32_t x_mask = (1u << x_bits) - 1, y_mask = (1u << y_bits) - 1;
  for (int64_t i = 0; i < count; ++i, events += EVENT_BYTES) {
    const auto record = load<uint64_t>(records + i * 8);
    const auto stored_us = static_cast<int64_t>(record & 0xFFFFFFFF) + add_us;
    latest_us = std::max(latest_us, stored_us);
    margins |= stored_us + limit_us - latest_us;  // negative if one of them is
    const auto word = static_cast<uint32_t>(record >> 32);
    const uint64_t xyp = pack_xyp(word & x_mask, word >> x_bits & y_mask,
                                  word >> (x_bits + y_bits) & 1);
    const auto t_us = static_cast<uint64_t>(latest_us);
    if (i + 1 < count)
      store_wide(events, t_us, xyp);
    else
      store_exactly(events, t_us, xyp);
  }
  *last_us = latest_us;
  return margins < 0;
}

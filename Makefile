# cirrus: one Makefile for everything. `make help` lists the targets.
#
# Build kinds, each with its own folder below build/:
#   release  optimised, what users run            asan  address + undefined sanitizers, tests
#   fuzz     clang's libFuzzer                     cov   coverage
#
# A new .c file below src/ or test/ is found by itself. Only Debian packages are needed (DEPS_*).

KIND    ?= release
# as many compilers at once as there are processors
JOBS    ?= $(shell nproc)
# make V=1 prints each command
Q       := $(if $(V),,@)
ifeq ($(origin CC),default)
CC      := gcc
endif
VERSION := 0.1.0
BUILD   := build/$(KIND)
GEN     := build/gen
PYTHON  := /usr/bin/python3
# Debian's node-llhttp: sources in llhttp/, the header in include/llhttp/
LLHTTP  := /usr/share

WARN     := -Wall -Wextra -Wvla -Wformat=2 -Wno-format-nonliteral -Wno-format-zero-length -Wno-missing-field-initializers -Wmissing-prototypes \
            -Wstrict-prototypes -Wshadow -Wwrite-strings -Werror
CPPFLAGS  = -D_GNU_SOURCE -Isrc -I. -I$(GEN) -isystem $(LLHTTP)/include -DLLHTTP_STRICT_MODE=1 -DCIRRUS_VERSION='"$(VERSION)"' $(CPPFLAGS_$(KIND))
CFLAGS    = -std=gnu17 -g $(WARN) -fno-strict-aliasing -fno-omit-frame-pointer -fPIE \
            -fstack-protector-strong -MMD -MP $(CFLAGS_$(KIND))
# pread stands before the C library's, for RocksDB (src/kv/nowait.h)
LDFLAGS   = -pie -Wl,-z,relro,-z,now -Wl,--export-dynamic-symbol=pread $(LDFLAGS_$(KIND))
LDLIBS    = $(LIBS)

CFLAGS_release  := -O2 -ffunction-sections -fdata-sections -D_FORTIFY_SOURCE=2
LDFLAGS_release := -Wl,--gc-sections
CFLAGS_asan     := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CPPFLAGS_asan   := -DARENA_DEBUG
LDFLAGS_asan    := -fsanitize=address,undefined
CFLAGS_clang    := -O1
# NULL + 0 is an empty str's end and defined since C2y; clang 14 still reports it as an overflow.
CFLAGS_fuzz     := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
                   -fno-sanitize=pointer-overflow
LDFLAGS_fuzz    := -fsanitize=fuzzer,address,undefined
CFLAGS_cov      := -O0 --coverage
LDFLAGS_cov     := --coverage

LIBS := -luv -lssl -lcrypto -ldeflate -lz -lzstd -lexpat -lseccomp -lpthread -ldl -lm

# Loaded when a store is opened (src/kv/librocksdb.def): the name of the version whose header we see.
ROCKSDB := $(shell readelf -d $$(gcc -print-file-name=librocksdb.so) 2>/dev/null | \
             sed -n 's/.*soname: \[\(.*\)\]/\1/p')
CPPFLAGS += -DROCKSDB_LIBRARY='"$(or $(ROCKSDB),librocksdb.so)"'

include Makefile.deps

SRC      := $(sort $(shell find src -name '*.c' -o -name '*.S'))
LIB_SRC  := $(filter-out src/server/main.c,$(SRC))
TEST_SRC := $(sort $(shell find test -name 'test*.c'))
OBJ       = $(patsubst %,$(BUILD)/%.o,$(basename $(LIB_SRC))) $(GEN_OBJ) $(LLHTTP_OBJ)
LLHTTP_OBJ = $(patsubst %,$(BUILD)/llhttp/%.o,api http llhttp)
FUZZ_SRC := $(sort $(shell find test -name 'fuzz_*.c'))
TEST_OBJ  = $(patsubst %.c,$(BUILD)/%.o,$(TEST_SRC))

.PHONY: all help build run sdk install unit crash clean format
all: build
help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# Tables of operations and shapes, compiled from src/services/*/SERVICE.{model,override}.
MODELS  := $(sort $(basename $(notdir $(wildcard src/services/*/*.model))))
GEN_OBJ  = $(patsubst %,$(BUILD)/gen/model_%.o,$(MODELS)) $(BUILD)/gen/models.o $(BUILD)/gen/embedded.o
# The programs of runtimes/, as bytes of the binary.
RUNTIMES := $(sort $(shell find runtimes -type f 2>/dev/null))
# Of these some are compiled: SnapStart's two halves, without a C library, so far for x86-64.
MADE          := $(GEN)/runtimes
SNAPSHOT_CC    = $(CC) -std=gnu17 -O2 $(WARN) -D_GNU_SOURCE -ffreestanding -fno-builtin -fno-stack-protector \
                 -fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -Wl,-z,noexecstack
RUNTIMES_MADE := $(if $(filter x86_64,$(shell uname -m)),$(MADE)/python/libsnapshot $(MADE)/python/restore)
$(MADE)/python/libsnapshot: runtimes/snapshot/save.c runtimes/snapshot/image.h
	@mkdir -p $(@D)
	$(Q)$(SNAPSHOT_CC) -fPIC -shared $< -o $@
$(MADE)/python/restore: runtimes/snapshot/restore.c runtimes/snapshot/image.h
	@mkdir -p $(@D)
	$(Q)$(SNAPSHOT_CC) -static -fno-pie -no-pie -mcmodel=large -Wl,-Ttext-segment=0x2000000000 $< -o $@
# Without a Java compiler there are no java functions, and the server says so.
ifneq ($(shell command -v javac 2>/dev/null),)
RUNTIMES_MADE += $(MADE)/java/runtime.jar
endif
# Text put together without method handles, whose machinery takes 10 ms of each start.
$(MADE)/java/runtime.jar: $(wildcard runtimes/java/*.java)
	@mkdir -p $(@D) && rm -rf $(GEN)/java
	$(Q)javac --release 11 -XDstringConcat=inline -Xlint:all -Werror -d $(GEN)/java $^
	$(Q)jar --create --file $@ -C $(GEN)/java .
$(GEN)/embedded.c: tools/embed.py $(RUNTIMES) $(RUNTIMES_MADE)
	@mkdir -p $(@D) $(MADE)
	$(Q)$(PYTHON) tools/embed.py $@ runtimes $(MADE)
define model_rule
$(GEN)/model_$(basename $(notdir $(1))).c: $(1) $$(wildcard $(basename $(1)).override) \
		tools/model_compile.py tools/pattern.py
	$$(Q)$$(PYTHON) tools/model_compile.py $$@ $$(filter src/services/%,$$^)
endef
$(foreach m,$(wildcard src/services/*/*.model),$(eval $(call model_rule,$(m))))
$(GEN)/models.c: tools/model_compile.py $(wildcard src/services/*/*.model)
	$(Q)$(PYTHON) tools/model_compile.py --list $@ $(MODELS)
$(BUILD)/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# Not ours, so without our warnings.
$(BUILD)/llhttp/%.o: $(LLHTTP)/llhttp/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I$(LLHTTP)/include/llhttp $(CFLAGS) -w -c $< -o $@

$(BUILD)/libcirrus.a: $(OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(OBJ)

$(BUILD)/cirrus: $(BUILD)/src/server/main.o $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< $(BUILD)/libcirrus.a $(LDLIBS) -o $@

build/cirrus: build/release/cirrus
	$(Q)cp -f $< $@.new && mv -f $@.new $@

build: ## the optimised binary, build/cirrus
	@$(MAKE) --no-print-directory -j$(JOBS) KIND=release build/cirrus

# The AWS SDK that Node.js functions find, from npm; without its declarations of types, half of it.
SDK := build/sdk/node_modules
sdk: build/sdk/.installed ## the AWS SDK for Node.js functions, from npm, as build/sdk/node_modules
build/sdk/.installed: tools/sdk/package.json tools/sdk/package-lock.json | deps-sdk
	@mkdir -p $(@D) && rm -f $@ && cp $^ $(@D)
	@cd $(@D) && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
		--fetch-retries=1 --fetch-retry-mintimeout=1000
	@find $(SDK) -name dist-types -type d -prune -exec rm -rf {} +
	@chmod -R u=rwX,go=rX $(SDK) && touch $@

# Without the SDK (no npm, no network) functions run all the same, and the server says what they miss.
run: deps deps-run build ## installs what is missing, builds, starts on 127.0.0.1:4566
	@$(MAKE) --no-print-directory sdk || echo "make run: goes on without the AWS SDK for Node.js functions" >&2
	@exec build/cirrus serve $$([ ! -e build/sdk/.installed ] || echo --node-modules=$(SDK)) $(ARGS)

PREFIX ?= /usr/local
# WITH_SDK=no: the binary alone
install: build $(if $(filter no,$(WITH_SDK)),,sdk) ## puts the binary into PREFIX/bin [/usr/local], the AWS SDK into PREFIX/lib/cirrus; WITH_SDK=no
	install -D -m 0755 build/cirrus $(DESTDIR)$(PREFIX)/bin/cirrus
ifneq ($(WITH_SDK),no)
	rm -rf $(DESTDIR)$(PREFIX)/lib/cirrus/node_modules
	install -d -m 0755 $(DESTDIR)$(PREFIX)/lib/cirrus
	cp -R --preserve=mode $(SDK) $(DESTDIR)$(PREFIX)/lib/cirrus
endif

# What a container runs in the tests of lambda.
build/test/lambda-bootstrap: test/services/lambda/programs/bootstrap.c
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 $(WARN) -static $< -o $@

$(BUILD)/unit: build/test/lambda-bootstrap
$(BUILD)/unit: $(TEST_OBJ) $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(TEST_OBJ) $(BUILD)/libcirrus.a $(LDLIBS) -o $@

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $< $(BUILD)/libcirrus.a $(LDLIBS) -lrocksdb -o $@

# The crash test of the store: its program, and the library that plays the disk.
$(BUILD)/crash: test/crash/crash.c $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(BUILD)/libcirrus.a $(LDLIBS) -o $@
$(BUILD)/crash-shim.so: test/crash/shim.c
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -g -O1 $(WARN) -fPIC -shared $< -ldl -o $@

CRASH_ROUNDS ?= 20
crash: $(BUILD)/crash $(BUILD)/crash-shim.so ## crash tests: kill -9, power cuts, failing disks; CRASH_ROUNDS=n
	timeout 600 $(BUILD)/crash kill $(CRASH_ROUNDS)
	timeout 600 $(BUILD)/crash power $(CRASH_ROUNDS) $(abspath $(BUILD)/crash-shim.so)
	timeout 600 $(BUILD)/crash fail $(CRASH_ROUNDS) $(abspath $(BUILD)/crash-shim.so)
	timeout 600 $(BUILD)/crash unsynced 6 $(abspath $(BUILD)/crash-shim.so)
	@echo "4 passed, 0 failed"

unit: ## unit tests under sanitizers; ONLY="json decimal.compare" picks some
	@$(MAKE) --no-print-directory -j$(JOBS) KIND=asan build/asan/unit
	build/asan/unit $(ONLY)

# The codecs as a filter, driven by the published Python client's serializers and parsers.
build/asan/peer_codec: build/asan/test/aws/peer_codec.o build/asan/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
.PHONY: peer
peer: ## codecs against botocore's, every operation; PEER_ROUNDS=3
	@$(MAKE) --no-print-directory -j$(JOBS) KIND=asan build/asan/peer_codec
	$(PYTHON) test/aws/peer_codec.py build/asan/peer_codec $(or $(PEER_ROUNDS),3)

# A fuzzer test/<layer>/fuzz_NAME.c becomes build/fuzz/NAME; its seeds are test/<layer>/corpus/NAME.
# What it finds out is kept below build/, crashing input as build/fuzz/crash/NAME-*.
SECONDS  ?= 60
FUZZ_BIN := $(patsubst fuzz_%.c,build/fuzz/%,$(notdir $(FUZZ_SRC)))
.PHONY: fuzz fuzz-smoke fuzz-build fuzz-run
define fuzz_rule
build/fuzz/$(patsubst fuzz_%.c,%,$(notdir $(1))): $(patsubst %.c,$(BUILD)/%.o,$(1)) $(BUILD)/libcirrus.a
	$$(Q)$$(CC) $$(CFLAGS) $$(LDFLAGS) $$^ $$(LDLIBS) -o $$@
endef
ifeq ($(KIND),fuzz)
$(foreach f,$(FUZZ_SRC),$(eval $(call fuzz_rule,$(f))))
endif
fuzz-build: $(FUZZ_BIN)
fuzz-run:
	@$(PYTHON) tools/fuzz.py $(SECONDS) "$(ONLY)" $(FUZZ_SRC)

fuzz: ## every fuzzer for SECONDS (60) each, as many at once as processors; ONLY="json xml" picks some
	@$(MAKE) --no-print-directory -j$(JOBS) KIND=fuzz CC=clang fuzz-build
	@$(MAKE) --no-print-directory fuzz-run SECONDS=$(SECONDS)

MICRO_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard bench/micro/*.c))
.PHONY: micro
$(MICRO_BIN): %: %.o $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@
micro: $(MICRO_BIN) ## measures single functions (bench/micro)
	@for b in $(MICRO_BIN); do $$b; done

fuzz-smoke: ## every fuzzer for three seconds
	@$(MAKE) --no-print-directory fuzz SECONDS=3

format: ## formats all C with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h' '*.def')

clean: ## removes everything that was built
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
include Makefile.test

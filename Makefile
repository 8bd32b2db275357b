# cirrus: one Makefile for everything. `make help` lists the targets.
#
# Build kinds, each with its own folder below build/:
#   release  optimised, what users run            asan  address + undefined sanitizers, tests
#   fuzz     clang's libFuzzer                     cov   coverage
#
# A new .c file below src/ or test/ is found by itself. Only Debian packages are needed (DEPS_*).

KIND    ?= release
# make V=1 prints each command
Q       := $(if $(V),,@)
ifeq ($(origin CC),default)
CC      := gcc
endif
VERSION := 0.1.0
BUILD   := build/$(KIND)
GEN     := build/gen
PYTHON  := /usr/bin/python3

WARN     := -Wall -Wextra -Wvla -Wformat=2 -Wno-format-nonliteral -Wmissing-prototypes \
            -Wstrict-prototypes -Wshadow -Wwrite-strings -Werror
CPPFLAGS  = -D_GNU_SOURCE -Isrc -I. -I$(GEN) -DCIRRUS_VERSION='"$(VERSION)"' $(CPPFLAGS_$(KIND))
CFLAGS    = -std=gnu17 -g $(WARN) -fno-strict-aliasing -fno-omit-frame-pointer -fPIE \
            -fstack-protector-strong -MMD -MP $(CFLAGS_$(KIND))
LDFLAGS   = -pie -Wl,-z,relro,-z,now $(LDFLAGS_$(KIND))
LDLIBS    = $(LIBS)

CFLAGS_release  := -O2 -ffunction-sections -fdata-sections -D_FORTIFY_SOURCE=2
LDFLAGS_release := -Wl,--gc-sections
CFLAGS_asan     := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
CPPFLAGS_asan   := -DARENA_DEBUG
LDFLAGS_asan    := -fsanitize=address,undefined
CFLAGS_cov      := -O0 --coverage
LDFLAGS_cov     := --coverage

LIBS := -luv -lrocksdb -lssl -lcrypto -ldeflate -lz -lexpat -larchive -lseccomp -lpthread -ldl -lm

include Makefile.deps

SRC      := $(sort $(shell find src -name '*.c' -o -name '*.S'))
LIB_SRC  := $(filter-out src/server/main.c,$(SRC))
TEST_SRC := $(sort $(shell find test -name 'test*.c'))
OBJ       = $(patsubst %,$(BUILD)/%.o,$(basename $(LIB_SRC)))
TEST_OBJ  = $(patsubst %.c,$(BUILD)/%.o,$(TEST_SRC))

.PHONY: all help build unit clean format
all: build
help: ## lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/libcirrus.a: $(OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $(OBJ)

$(BUILD)/unit: $(TEST_OBJ) $(BUILD)/libcirrus.a
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(TEST_OBJ) $(BUILD)/libcirrus.a $(LDLIBS) -o $@

$(BUILD)/bench/%: bench/%.c $(BUILD)/libcirrus.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(BUILD)/libcirrus.a $(LDLIBS) -o $@

unit: ## unit tests under sanitizers; ONLY="json decimal.compare" picks some
	@$(MAKE) --no-print-directory KIND=asan build/asan/unit
	build/asan/unit $(ONLY)

format: ## formats all C with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h' '*.def')

clean: ## removes everything that was built
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

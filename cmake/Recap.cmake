# SPDX-License-Identifier: Apache-2.0
# How every target of the house is made: one language level, one set of warnings, programs in bin/, plugins in
# lib/recap/plugins/. Includes are written from the project's root ("sdk/base/result.hpp").

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
option(RECAP_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer" OFF)
option(RECAP_FUZZ "programs for libFuzzer, by clang (./dev fuzz)" OFF)
option(RECAP_QT "librecap-qt, for which Qt 6 is needed" ON)

# What all targets have in common: recap_options is for what is shipped, recap_test_options for what tests it.
add_library(recap_common INTERFACE)
target_include_directories(recap_common INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(recap_common INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
target_compile_definitions(recap_common INTERFACE _GNU_SOURCE RECAP_VERSION="${PROJECT_VERSION}")
target_compile_options(recap_common INTERFACE -fstack-protector-strong)
target_link_options(recap_common INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(RECAP_SANITIZE)
  # g++ 12 sees uninitialised variants where the sanitizers' own code is between their making and their use.
  target_compile_options(recap_common INTERFACE -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(recap_common INTERFACE -fsanitize=address,undefined)
endif()

if(RECAP_FUZZ)
  target_compile_options(recap_common INTERFACE -Wno-error -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(recap_common INTERFACE -fsanitize=address,undefined)
endif()

add_library(recap_options INTERFACE)
target_link_libraries(recap_options INTERFACE recap_common)
target_compile_definitions(recap_options INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
# Tests are compiled more often than they run.
add_library(recap_test_options INTERFACE)
target_link_libraries(recap_test_options INTERFACE recap_common)
target_compile_options(recap_test_options INTERFACE -O0)

recap_precompiled(standard HEADERS ${RECAP_STANDARD_HEADERS} LINKS recap_options)

# What `dev` builds when not everything: what a private stack needs (`dev with`, the demo), and the tests of a label.
set(RECAP_LABELS unit bus system hostile bench vm)
add_custom_target(recap_stack)
foreach(label IN LISTS RECAP_LABELS)
  add_custom_target(recap_tests_${label} DEPENDS recap_stack)
endforeach()

# recap_precompiled_headers(TARGET NAME): those of recap_precompiled(NAME), the standard ones if it is empty.
function(recap_precompiled_headers target name)
  if(NOT name)
    set(name standard)
  endif()
  target_precompile_headers(${target} REUSE_FROM recap_precompiled_${name})
endfunction()

# recap_library(NAME SOURCES … LINKS … PRIVATE_LINKS … [PRECOMPILED name] [SHARED_TOO]): static library recap_NAME, alias
# recap::NAME. It is for programs; SHARED_TOO makes it fit for plugins and shared libraries.
function(recap_library name)
  cmake_parse_arguments(arg "SHARED_TOO;TEST" "PRECOMPILED" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  set(options recap_options)
  if(arg_TEST)
    set(options recap_test_options)
  endif()
  if(arg_SOURCES)
    add_library(recap_${name} STATIC ${arg_SOURCES})
    target_link_libraries(recap_${name} PUBLIC ${arg_LINKS} PRIVATE ${options} ${arg_PRIVATE_LINKS})
    target_include_directories(recap_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
    if(NOT arg_SHARED_TOO)
      set_target_properties(recap_${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(recap_${name} PRIVATE -fPIE)
      recap_precompiled_headers(recap_${name} "${arg_PRECOMPILED}")
    endif()
  else()
    add_library(recap_${name} INTERFACE)
    target_link_libraries(recap_${name} INTERFACE ${arg_LINKS})
    target_include_directories(recap_${name} INTERFACE "${PROJECT_SOURCE_DIR}")
  endif()
  add_library(recap::${name} ALIAS recap_${name})
endfunction()

# recap_program(NAME DESTINATION libexec/recap SOURCES … LINKS … [PRECOMPILED name] [UNREADABLE]): an installed program, built into
# bin/. UNREADABLE: it is started with the rights of a container's user, and who cannot read a program cannot look into its process
# either (execve(2)).
function(recap_program name)
  cmake_parse_arguments(arg "UNREADABLE" "DESTINATION;PRECOMPILED" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE recap_options ${arg_LINKS})
  recap_precompiled_headers(${name} "${arg_PRECOMPILED}")
  set(permissions)
  if(arg_UNREADABLE)
    set(permissions PERMISSIONS OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${arg_DESTINATION} ${permissions})
  add_dependencies(recap_stack ${name})
endfunction()

# recap_test_library(NAME …): recap_library() for what only tests link.
function(recap_test_library name)
  recap_library(${name} TEST PRECOMPILED tests ${ARGN})
endfunction()

# recap_test_program(NAME [LABEL unit …] SOURCES … LINKS … [GTEST] [SHIPPED]): a program of the tests, built into tests/, that those
# of LABEL need; with GTEST it is a GoogleTest. What is for unit tests alone is not part of `all`, but with SHIPPED.
function(recap_test_program name)
  cmake_parse_arguments(arg "GTEST;SHIPPED" "" "LABEL;SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE recap_test_options ${arg_LINKS})
  if(arg_GTEST)
    target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest_main)
    recap_precompiled_headers(${name} gtest)
  else()
    recap_precompiled_headers(${name} tests)
  endif()
  foreach(label IN LISTS arg_LABEL)
    add_dependencies(recap_tests_${label} ${name})
  endforeach()
  if("${arg_LABEL}" STREQUAL "unit" AND NOT arg_SHIPPED)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# What a test finds the build by, in its environment.
set(RECAP_TEST_ENVIRONMENT "RECAP_BIN_DIR=${CMAKE_BINARY_DIR}/bin;RECAP_SOURCE_DIR=${PROJECT_SOURCE_DIR};RECAP_BUILD_DIR=${CMAKE_BINARY_DIR}")

# recap_test(NAME LABEL unit SOURCES … LINKS … [TIMEOUT s] [SHIPPED] [STACK [CONFIG file] [CEILING file] [RULES file]]): a
# GoogleTest program, one ctest entry, labelled. With STACK it runs inside a private stack (what it finds there:
# tests/support/with-stack). A unit test with SHIPPED sees what a sanitizer's run time hides: memory that is used, a jail's system calls.
# `dev test` runs it on the release build as well, by the label unit.shipped.
function(recap_test name)
  cmake_parse_arguments(arg "STACK;SHIPPED" "LABEL;TIMEOUT;CONFIG;CEILING;RULES" "SOURCES;LINKS" ${ARGN})
  set(shipped)
  set(label ${arg_LABEL})
  if(arg_SHIPPED)
    set(shipped SHIPPED)
    set(label ${arg_LABEL}.shipped)
  endif()
  recap_test_program(test_${name} GTEST ${shipped} LABEL ${arg_LABEL} SOURCES ${arg_SOURCES} LINKS ${arg_LINKS})
  set(stack)
  if(arg_STACK)
    set(stack "${PROJECT_SOURCE_DIR}/tests/support/with-stack" --build "${CMAKE_BINARY_DIR}")
    foreach(option CONFIG CEILING RULES)
      if(arg_${option})
        string(TOLOWER ${option} flag)
        list(APPEND stack --${flag} "${CMAKE_CURRENT_SOURCE_DIR}/${arg_${option}}")
      endif()
    endforeach()
    list(APPEND stack --)
  endif()
  add_test(NAME ${arg_LABEL}.${name} COMMAND ${stack} $<TARGET_FILE:test_${name}>)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${label} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${RECAP_TEST_ENVIRONMENT}")
endfunction()

# recap_script_test(NAME LABEL system SCRIPT file [TIMEOUT s]): a Python test, one ctest entry.
function(recap_script_test name)
  cmake_parse_arguments(arg "" "LABEL;TIMEOUT;SCRIPT" "" ${ARGN})
  add_test(NAME ${arg_LABEL}.${name} COMMAND "${RECAP_PYTHON}" -B "${CMAKE_CURRENT_SOURCE_DIR}/${arg_SCRIPT}")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${RECAP_TEST_ENVIRONMENT}")
endfunction()

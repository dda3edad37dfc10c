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

find_program(RECAP_CCACHE ccache)
if(RECAP_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RECAP_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER "${RECAP_CCACHE}")
endif()

add_library(recap_options INTERFACE)
target_include_directories(recap_options INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(recap_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>)
target_compile_definitions(recap_options INTERFACE _GNU_SOURCE RECAP_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Release,RelWithDebInfo>:_FORTIFY_SOURCE=2>)
target_compile_options(recap_options INTERFACE -fstack-protector-strong)
target_link_options(recap_options INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(RECAP_SANITIZE)
  # g++ 12 sees uninitialised variants where the sanitizers' own code is between their making and their use.
  target_compile_options(recap_options INTERFACE -Wno-maybe-uninitialized -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(recap_options INTERFACE -fsanitize=address,undefined)
endif()

# recap_library(NAME SOURCES … LINKS … PRIVATE_LINKS …): static library recap_NAME, alias recap::NAME.
function(recap_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  if(arg_SOURCES)
    add_library(recap_${name} STATIC ${arg_SOURCES})
    target_link_libraries(recap_${name} PUBLIC ${arg_LINKS} PRIVATE recap_options ${arg_PRIVATE_LINKS})
    target_include_directories(recap_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  else()
    add_library(recap_${name} INTERFACE)
    target_link_libraries(recap_${name} INTERFACE ${arg_LINKS})
    target_include_directories(recap_${name} INTERFACE "${PROJECT_SOURCE_DIR}")
  endif()
  add_library(recap::${name} ALIAS recap_${name})
endfunction()

# recap_program(NAME DESTINATION libexec/recap SOURCES … LINKS … [UNREADABLE]): an installed program, built into bin/. UNREADABLE: it
# is started with the rights of a container's user, and who cannot read a program cannot look into its process either (execve(2)).
function(recap_program name)
  cmake_parse_arguments(arg "UNREADABLE" "DESTINATION" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE recap_options ${arg_LINKS})
  set(permissions)
  if(arg_UNREADABLE)
    set(permissions PERMISSIONS OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
  endif()
  install(TARGETS ${name} RUNTIME DESTINATION ${arg_DESTINATION} ${permissions})
endfunction()

# What a test finds the build by, in its environment.
set(RECAP_TEST_ENVIRONMENT "RECAP_BIN_DIR=${CMAKE_BINARY_DIR}/bin;RECAP_SOURCE_DIR=${PROJECT_SOURCE_DIR};RECAP_BUILD_DIR=${CMAKE_BINARY_DIR}")

# recap_test(NAME LABEL unit SOURCES … LINKS … [TIMEOUT s] [STACK [CONFIG file] [CEILING file] [RULES file]]): a GoogleTest
# program, one ctest entry, labelled. With STACK it runs inside a private stack (what it finds there: tests/support/with-stack).
function(recap_test name)
  cmake_parse_arguments(arg "STACK" "LABEL;TIMEOUT;CONFIG;CEILING;RULES" "SOURCES;LINKS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(test_${name} ${arg_SOURCES})
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(test_${name} PRIVATE recap_options ${arg_LINKS} GTest::gmock GTest::gtest_main)
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
  set_tests_properties(${arg_LABEL}.${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${RECAP_TEST_ENVIRONMENT}")
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

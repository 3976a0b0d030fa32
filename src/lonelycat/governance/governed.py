"""The files that are escalated under every policy, because a policy that could let them pass could be talked into it.

What they have in common: writing one gives power over a person's machine, an agent, the checks or the policy itself
*without anybody deciding to run it*: it is read when a directory is entered, a project opened, a commit made, an
agent started or a package installed. What has to be run on purpose (a Makefile, a Dockerfile, sources) is left to
the policy's own categories.

Invariant: a constant of the code; no policy, exception or shadow takes anything out.
"""

from __future__ import annotations

from lonelycat.governance.matching import Matcher, compile_globs

GOVERNANCE_GLOBS: tuple[str, ...] = (
    # the policy and the workflow
    "agent/policies/**", "agent/workflows/**",
    # continuous integration, and who must review
    "**/.github/workflows/**", "**/.github/actions/**", "/action.{yml,yaml}", ".gitlab-ci.{yml,yaml}", ".gitlab/",
    ".circleci/", "Jenkinsfile", "Jenkinsfile.*", "{,.}azure-pipelines*.{yml,yaml}", ".azure-pipelines/",
    ".travis.{yml,yaml}", ".buildkite/", ".drone.{yml,yaml,star,jsonnet}", "bitbucket-pipelines.yml",
    "{,.}appveyor.yml", ".cirrus.{yml,yaml,star}", "{.forgejo,.gitea}/", ".teamcity/", ".woodpecker{,.yml,.yaml}",
    ".woodpecker/", "/.ci/**", "CODEOWNERS", ".github/settings.yml", ".readthedocs.{yml,yaml}",
    "{.semaphore,.tekton,.harness,.builds,.zuul.d,zuul.d,.depot,.screwdriver}/", ".build.yml", "*.jenkinsfile",
    "{buildkite,wercker,.wercker,bitrise,codemagic,.packit,.taskcluster,.zuul,zuul,screwdriver}.{yml,yaml}",
    "/cloudbuild.{yml,yaml,json}", "/buildspec*.{yml,yaml}",
    # what merges without a person, or proposes in its place
    "{.mergify,mergify}.{yml,yaml}", ".github/{auto*merge,bulldozer,policy}.{yml,yaml}", ".kodiak.toml",
    "bors.toml", "{,.}renovate.json{,5}", ".renovaterc{,.json,.json5}",
    # agents
    "{.claude,.codex,.cursor,.gemini,.windsurf,.roo,.kiro,.amazonq,.junie,.continue,.opencode,.agents,.goose}/",
    "{.agent,.aiassistant,.amp,.antigravity,.augment,.claude-plugin,.codebuddy,.copilot,.cline,.crush,.devin}/",
    "{.factory,.iflow,.jules,.kilocode,.lingma,.mcp,.openhands,.qodo,.qwen,.rovodev,.tabnine,.trae,.vibe,.warp}/",
    "{.zencoder,.void,.codeium,.firebender,.greptile,.idx}/", "SKILL.md",
    "{AGENTS.local,CRUSH,IFLOW,JULES,WARP,replit}.md",
    "{.roo,.kilocode}modes", ".augment-guidelines", ".openhands_instructions", ".{continue,kilocode}rules", "/.rules",
    "{,.}crush.json", "{.pr_agent,gptme}.toml", ".{coderabbit,sourcery}.{yml,yaml}",
    ".mcp.json", "mcp.json", "opencode.{json,jsonc}", "{AGENTS,AGENT,CLAUDE,CLAUDE.local,GEMINI,QWEN}.md",
    "AGENTS.override.md", ".{cursor,windsurf,cline,goose}rules", ".clinerules/", ".aider*", ".goosehints",
    "**/.github/{copilot-instructions.md,instructions/**,prompts/**,agents/**,chatmodes/**,skills/**,hooks/**}",
    # editors
    "{.vscode,.idea,.zed,.devcontainer,.fleet,.vs}/", "*.code-workspace", ".devcontainer.json", ".exrc", ".nvimrc",
    ".nvim.lua", ".vimrc", ".lvimrc", ".dir-locals.el", ".dir-locals-2.el", "*.sublime-project",
    "{.helix,.nvim,.vim,.emacs.d,.theia,.nova,.run,.externalToolBuilders,nbproject,.gitpod,.ona,.codesandbox}/",
    ".local.vimrc", ".vimrc.local", "_vimrc", ".emacs", ".project", ".luarc.json{,c}", ".neoconf.json", ".replit",
    ".gitpod.{yml,yaml,Dockerfile}", ".stackblitzrc", "{,.}rust-analyzer.toml", ".solargraph.yml",
    # git: filters, hooks, submodules, and a bare repository hidden in the tree
    ".gitattributes", ".gitmodules", ".gitconfig", ".lfsconfig",
    "{.githooks,.git-hooks,.git_hooks,.hooks,.husky,.lefthook}/",
    "{,.}lefthook{,-local}.{yml,yaml,toml}",
    ".pre-commit-config.{yml,yaml}", ".pre-commit-hooks.yaml", ".overcommit.yml", "HEAD", "**/hooks/pre-commit",
    "{,.}prek.toml", "hk.pkl", "captainhook.json", "grumphp.{yml,yaml}", "{,.}simple-git-hooks.{js,cjs,mjs,json}",
    ".huskyrc*", "{.lintstagedrc,.commitlintrc}*", "{lint-staged,commitlint}.config.*", ".gitlint",
    "**/hooks/{post-*,pre-*,commit-msg,prepare-commit-msg,reference-transaction,update,fsmonitor-watchman}",
    # shells and environments, read when a directory is entered or a session starts
    ".envrc", ".autoenv", ".{bash,zsh}rc", ".zshenv", ".zprofile", ".{bash_,}profile", ".bash_{login,logout,aliases}",
    "{,.}mise{,.*}.toml", "**/.config/mise{,.*}.toml", ".config/mise/", ".mise/", ".rtx.toml", ".ssh/", ".gnupg/",
    ".inputrc", ".direnvrc", ".autoenv.zsh", ".{zlogin,zlogout,kshrc,cshrc,tcshrc,login,tmux.conf,screenrc}",
    ".{xprofile,xinitrc,xsession,curlrc,wgetrc}", "config.fish", "{,*_}profile.ps1",
    # package managers and interpreters, read on every call
    "sitecustomize.py", "usercustomize.py", "*.pth", "pip.conf", "pip.ini", "pyvenv.cfg", "pydistutils.cfg",
    "*.{dist,egg}-info/", "*.egg-link", "ipython_config.py", "{.ipython,.jupyter}/", ".pnp.{cjs,loader.mjs,js}",
    ".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.{cjs,js,mjs}", "pnpmfile.{cjs,js}", "bunfig.toml",
    "**/.yarn/{plugins,releases}/**",
    "**/.cargo/config", "**/.cargo/config.toml", "**/.bundle/config", ".gemrc", ".mvn/", "{n,N}u{g,G}et.{c,C}onfig",
    ".condarc", ".irbrc", ".pryrc", ".Rprofile", ".Renviron", "init.gradle{,.kts}", ".gradle/init.d/",
    "Directory.{Build,Solution,Packages}.{props,targets,rsp}", "MSBuild.rsp", ".{gdb,gdbearly,lldb}init", ".pdbrc",
    ".pythonrc", ".pystartup", ".user.ini", ".{proverc,perldb,psqlrc,sqliterc}", "**/gradle/wrapper/*.properties",
)  # fmt: skip


def governance_paths() -> Matcher:
    """Return the matcher of :data:`GOVERNANCE_GLOBS`; compiled once."""
    return compile_globs(GOVERNANCE_GLOBS, folds=True)

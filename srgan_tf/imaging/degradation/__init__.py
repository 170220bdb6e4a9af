"""LR pictures as cameras, programs and web sites leave them: random chains of blur, resizing, noise and JPEG."""
